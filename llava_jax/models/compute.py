"""How the networks compute: the one place that decides dtype, platform, layer loop and remat."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

Platform = Literal["cpu", "tpu"]
Remat = Literal["none", "minimal", "full"]


@dataclass(frozen=True)
class Compute:
    """Everything about execution that is not about the function being computed.

    dtype: of activations and of kernels as they enter a product; norms, softmax, rotary angles
      and logits are float32 always.
    platform: "cpu" or "tpu"; what the program is compiled for, which need not be where we run.
    scan_layers: parameters stacked on a leading layer axis and a `lax.scan` over them (small
      programs, for TPUs), or one subtree a layer and an unrolled loop (faster on a CPU).
    remat: what a block keeps for its backward pass: everything ("none"), the outputs of its
      weight products ("minimal"), or only its input ("full").
    """

    dtype: Any = jnp.float32
    platform: Platform = "cpu"
    scan_layers: bool = False
    remat: Remat = "none"

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
    platform: Platform = "cpu" if jax.default_backend() == "cpu" else "tpu"
    if dtype == "auto":
        fast = platform == "tpu" or _cpu_multiplies_bfloat16()
        dtype = "bfloat16" if fast else "float32"
    return Compute(jnp.dtype(dtype).type, platform, scan_layers=platform == "tpu", remat=remat)


def _cpu_multiplies_bfloat16() -> bool:
    """Without these instructions bfloat16 is emulated, and slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


_POLICIES: dict[str, Callable[..., bool] | None] = {
    "minimal": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": None,
}


def run_blocks(
    block: type[nn.Module],
    *,
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
      name: parameters live under `name` (scanned, leading layer axis) or `name_0`, `name_1`, ...
      per_layer: pytree for each layer: stacked on axis 0 when scanned, a list when unrolled.
    Returns:
      the last x, and the layers' outputs, stacked or listed like `per_layer`.
    """
    if compute.remat != "none":
        # Under a scan nothing can be merged across iterations, so the costly guard is not needed.
        block = nn.remat(
            block, policy=_POLICIES[compute.remat], prevent_cse=not compute.scan_layers
        )
    if compute.scan_layers:
        scanned = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(0, *[nn.broadcast] * len(shared)),
            length=count,
        )
        return scanned(name=name, **fields)(x, per_layer, *shared)
    outputs = []
    for i in range(count):
        layer_input = None if per_layer is None else per_layer[i]
        x, output = block(name=f"{name}_{i}", **fields)(x, layer_input, *shared)
        outputs.append(output)
    return x, outputs
