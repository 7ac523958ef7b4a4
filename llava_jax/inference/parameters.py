"""Parameters as the programs of inference read them."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from llava_jax import partition
from llava_jax.models import int8, native
from llava_jax.models.compute import Compute

_TABLE = "language/embed/embedding"
_KERNEL = r"language/(layers.*|lm_head)/kernel"
_JOINED = {
    "attention/qkv": ("attention/query", "attention/key", "attention/value"),
    "mlp/gate_up": ("mlp/gate", "mlp/up"),
}


def for_answers(compute: Compute, *, int8_weights: bool = False, chips: int = 1) -> Compute:
    """The same by our own kernels, where this machine runs them and one chip has whole products."""
    native_here = compute.platform == "cpu" and chips == 1 and native.available()
    return replace(compute, int8_weights=int8_weights, native=native_here)


def prepared(params: partition.Params, compute: Compute) -> dict[str, Any]:
    """Weights as they are multiplied, the rest as it is.

    Cast to the compute dtype, which the networks would do at each use: the same results from half
    the reading. Or, where `compute` says so, rounded to 8 bits, with a scale for each output.
    """
    leaves = {}
    full = partition.flatten(params)
    for path, leaf in (_joined(full) if compute.native else full).items():
        if compute.int8_weights and partition.matches([_TABLE, _KERNEL], path):
            outputs = int8.TABLE if path == _TABLE else int8.KERNEL
            leaves[path], leaves[f"{path}_scale"] = _rounded(leaf, outputs, compute)
        elif path.endswith(("/kernel", "/embedding")):
            leaves[path] = leaf.astype(compute.dtype, copy=False)
        else:
            leaves[path] = leaf
    return partition.unflatten(leaves)


def _joined(leaves: dict[str, Any]) -> dict[str, Any]:
    """The leaves with kernels of the decoder that read the same side by side in one."""
    leaves = dict(leaves)
    for path in [path for path in leaves if path.startswith("language/layers")]:
        for name, (first, *others) in _JOINED.items():
            layer, _, rest = path.rpartition(f"/{first}/kernel")
            if layer and not rest:
                parts = [leaves.pop(f"{layer}/{part}/kernel") for part in (first, *others)]
                leaves[f"{layer}/{name}/kernel"] = jnp.concatenate(parts, axis=-1)
    return leaves


@partial(jax.jit, static_argnames=("outputs", "compute"))
def _rounded(matrix: Array, outputs: int, compute: Compute) -> int8.Weights:
    """A matrix in 8 bits; a stack of them layer by layer, which saves memory."""
    if matrix.ndim > 2:
        return jax.lax.map(partial(_rounded, outputs=outputs, compute=compute), matrix)
    values, scale = int8.rounded(matrix, axis=1 - outputs)
    if int8.packs(matrix.shape, compute):
        values = int8.pack(values if outputs == int8.TABLE else values.T)
    return int8.Weights(values, scale.reshape(-1))
