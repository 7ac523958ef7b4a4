"""Weights in 8 bits: how they are rounded, laid out and multiplied.

Each output of a kernel has its own scale, and so has each row that is multiplied with it, which is
rounded on the way: the products are of integers, their sums exact.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Int, Int8, UInt8

from llava_jax.models import cpu, native
from llava_jax.models.compute import Compute

KERNEL, TABLE = 1, 0  # the axis of a matrix that its outputs lie on: [in, out], or [out, in]
_LANES, _DEPTH = 16, 4  # outputs, and inputs of each, that the packed order keeps together


class Weights(NamedTuple):
    """values: int8 in the matrix's own shape, or as `pack` lays them out. scale: of each output."""

    values: Int8[Array, "rows columns"] | UInt8[Array, "blocks quarters 16 4"]
    scale: Float32[Array, " out"]


def rounded(x: Float[Array, "..."], axis: int = -1) -> tuple[Int8[Array, "..."], Array]:
    """int8 and the scale along `axis` (kept, of size 1): the greatest magnitude becomes 127."""
    x = x.astype(jnp.float32)
    scale = jnp.maximum(jnp.abs(x).max(axis=axis, keepdims=True), 1e-30) / 127
    return jnp.round(x / scale).astype(jnp.int8), scale


def packs(shape: tuple[int, ...], compute: Compute) -> bool:
    """Whether weights of this shape lie in the order of our own kernel."""
    return compute.native and all(side % _LANES == 0 for side in shape[-2:])


def pack(values: Int8[Array, "*layers out in"]) -> UInt8[Array, "*layers blocks quarters 16 4"]:
    """Rows of outputs in the order in which our kernel reads them, with 128 added."""
    *layers, outputs, inputs = values.shape
    blocks = values.reshape(*layers, outputs // _LANES, _LANES, inputs // _DEPTH, _DEPTH)
    return jax.lax.bitcast_convert_type(blocks.swapaxes(-3, -2), jnp.uint8) ^ jnp.uint8(128)


def declare(
    module: nn.Module, name: str, shape: tuple[int, int], outputs: int, compute: Compute
) -> Weights:
    """A matrix's parameters: `name`, and `name`_scale beside it."""
    count, width = shape[outputs], shape[1 - outputs]
    packed = (count // _LANES, width // _DEPTH, _LANES, _DEPTH)
    stored = (packed, jnp.uint8) if packs(shape, compute) else (shape, jnp.int8)
    values = module.param(name, nn.initializers.zeros, *stored)
    return Weights(values, module.param(f"{name}_scale", nn.initializers.ones, (count,)))


def product(
    x: Float[Array, "*batch in"],
    weights: Weights,
    outputs: int,
    compute: Compute,
    dtype: Any = jnp.float32,
) -> Float[Array, "*batch out"]:
    """x times the weights, whose outputs lie on that axis; dtype: of the result."""
    rows = x.reshape(-1, x.shape[-1])
    if weights.values.dtype == jnp.uint8:
        y = native.int8_product(rows, *weights, dtype)
    elif compute.platform == "cpu" and len(rows) == 1:
        y = _product(cpu.two_rows(rows), weights, outputs)[:1]
    else:
        y = _product(rows, weights, outputs)
    return y.reshape(*x.shape[:-1], -1).astype(dtype)


def _product(x: Array, weights: Weights, outputs: int) -> Array:
    values, scale = rounded(x)
    contracted = (((1,), (1 - outputs,)), ((), ()))
    sums = jax.lax.dot_general(values, weights.values, contracted, preferred_element_type=jnp.int32)
    return sums.astype(jnp.float32) * scale * weights.scale


def look_up(table: Weights, tokens: Int[Array, "*batch"]) -> Float32[Array, "*batch in"]:
    """Rows of a table."""
    values = table.values
    if values.dtype == jnp.uint8:
        rows = values[tokens // _LANES, :, tokens % _LANES].reshape(*tokens.shape, -1)
        rows = rows.astype(jnp.float32) - 128
    else:
        rows = values[tokens].astype(jnp.float32)
    return rows * table.scale[tokens][..., None]
