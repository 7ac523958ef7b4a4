"""How the networks compute: the one place that decides dtype, platform, layer loop and remat."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from llava_jax.config import Remat
from llava_jax.gather import Gather
from llava_jax.mesh import Platform


@dataclass(frozen=True)
class Compute:
    """Everything about execution that is not about the function being computed.

    dtype: of activations and of kernels as they enter a product; norms, softmax, rotary angles
      and logits are float32 always.
    platform: "cpu" or "tpu"; what the program is compiled for, which need not be where we run.
    scan_layers: parameters stacked on a leading layer axis and a `lax.scan` over them (small
      programs, for TPUs), or one subtree a layer and an unrolled loop (faster on a CPU).
    remat: what a block keeps for its backward pass: everything ("none"), the outputs of its
      products ("minimal"), of these what attention and the MLP's activation take ("inputs"), those
      of its attention, on the device ("attention") or in the host's memory ("offload"), only
      queries, keys, values and what they give ("context"), or nothing but its input ("full").
    int8_weights: whether the decoder's kernels and word embeddings are in 8 bits (see int8.py).
    int8_cache: whether keys and values of tokens read before are kept in 8 bits.
    native: whether the decoder uses our own C++ kernels (see native/), which only a CPU can have.
      Products of one input are then one: kernels "qkv" and "gate_up" (inference/parameters.py).
    gather: makes a block's parameters whole where a device holds a shard of them (see
      llava_jax/gather.py); None where they are whole, or the compiler sees to it.
    """

    dtype: Any = jnp.float32
    platform: Platform = "cpu"
    scan_layers: bool = False
    remat: Remat = "none"
    int8_weights: bool = False
    int8_cache: bool = False
    native: bool = False
    gather: Gather | None = None

    @property
    def precision(self) -> jax.lax.Precision | None:
        """float32 means float32: a TPU would otherwise multiply in bfloat16."""
        return jax.lax.Precision.HIGHEST if self.dtype == jnp.float32 else None

    @property
    def cpu_bfloat16(self) -> bool:
        """Whether products must be put in the forms that XLA's CPU backend has in bfloat16."""
        return self.platform == "cpu" and self.dtype == jnp.bfloat16


def local_compute(dtype: str, remat: Remat = "none") -> Compute:
    """What suits the devices of this process.

    dtype: "float32", "bfloat16", or "auto": bfloat16 where the hardware multiplies it.
    """
    return compute_for("cpu" if jax.default_backend() == "cpu" else "tpu", dtype, remat)


def compute_for(platform: Platform, dtype: str, remat: Remat = "none") -> Compute:
    """What suits a platform, be it that of this process or one that is compiled for."""
    if dtype == "auto":
        fast = platform == "tpu" or _cpu_multiplies_bfloat16()
        dtype = "bfloat16" if fast else "float32"
    return Compute(jnp.dtype(dtype).type, platform, scan_layers=platform == "tpu", remat=remat)


def _cpu_multiplies_bfloat16() -> bool:
    """Without these instructions bfloat16 is emulated, and slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


# What blocks name for the policies below.
QKV, CONTEXT, ATTENTION_OUT, MLP_IN = "qkv", "context", "attention_out", "mlp_in"
_ATTENTION = (QKV, CONTEXT, ATTENTION_OUT)
_KEPT = {
    "minimal": (*_ATTENTION, MLP_IN),
    "inputs": (QKV, MLP_IN),
    "attention": _ATTENTION,
    "context": (QKV, CONTEXT),
}


def _policy(remat: Remat) -> Callable[..., Any] | None:
    policies = jax.checkpoint_policies
    if remat == "full":
        return None
    if remat == "offload":
        return policies.save_and_offload_only_these_names(
            names_which_can_be_saved=[],
            names_which_can_be_offloaded=list(_ATTENTION),
            offload_src="device",
            offload_dst="pinned_host",
        )
    return policies.save_only_these_names(*_KEPT[remat])


def named(x: jax.Array, name: str) -> jax.Array:
    """x, under the name that rematerialisation knows it by."""
    return checkpoint_name(x, name)


def run_blocks(
    block: type[nn.Module],
    *,
    path: tuple[str, ...],
    name: str,
    count: int,
    compute: Compute,
    fields: dict[str, Any],
    x: jax.Array,
    per_layer: Any = None,
    shared: tuple = (),
) -> tuple[jax.Array, Any]:
    """Runs `count` blocks, scanned or unrolled; call it inside a compact method.

    A block is called as `block(x, layer_input, *shared) -> (x, layer_output)`.

    Args:
      path: of the module that holds the blocks.
      name: parameters live under `name` (scanned, leading layer axis) or `name_0`, `name_1`, ...
      per_layer: pytree for each layer: stacked on axis 0 when scanned, a list when unrolled.
    Returns:
      the last x, and the layers' outputs, stacked or listed like `per_layer`.
    """
    if compute.scan_layers:
        scanned = nn.scan(
            _prepared(block, compute, "/".join((*path, name, ""))),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, *[nn.broadcast] * len(shared)),
            length=count,
        )
        return scanned(name=name, **fields)(x, per_layer, *shared)
    outputs = []
    for i in range(count):
        layer_input = None if per_layer is None else per_layer[i]
        prepared = _prepared(block, compute, "/".join((*path, f"{name}_{i}", "")))
        x, output = prepared(name=f"{name}_{i}", **fields)(x, layer_input, *shared)
        outputs.append(output)
    return x, outputs


def _prepared(block: type[nn.Module], compute: Compute, prefix: str) -> type[nn.Module]:
    """The block with its parameters gathered and its activations forgotten, as `compute` says."""
    if compute.gather is not None:
        block = nn.map_variables(
            block,
            "params",
            # Gathered within what is computed again, so that whole parameters are not kept.
            trans_in_fn=lambda variables: {"params": compute.gather(variables["params"], prefix)},
        )
    if compute.remat == "none":
        return block
    # Under a scan nothing can be merged across iterations, so the costly guard is not needed.
    return nn.remat(block, policy=_policy(compute.remat), prevent_cse=not compute.scan_layers)
