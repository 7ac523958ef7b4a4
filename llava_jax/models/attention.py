"""Attention with grouped queries, and rotary positions; the one place that picks a kernel."""

import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from llava_jax.models import cpu
from llava_jax.models.compute import ATTENTION_OUT, CONTEXT, Compute, named
from llava_jax.models.layers import Dense
from llava_jax.models.splash import splash_attention

_MASKED = -1e30


@dataclass(frozen=True)
class RopeScaling:
    """Llama-3.1's stretching of the slow rotary frequencies (`rope_type: llama3`)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_length: int


def rotary_frequencies(head_dim: int, theta: float, scaling: RopeScaling | None) -> np.ndarray:
    """Angle per position of each pair of channels, float32 [head_dim // 2]."""
    frequencies = theta ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    if scaling is not None:
        # Wavelengths shorter than original/high stay, longer than original/low are divided by
        # `factor`, and between the two the frequency is interpolated.
        turns = scaling.original_length * frequencies / (2 * math.pi)
        blend = (turns - scaling.low_freq_factor) / (
            scaling.high_freq_factor - scaling.low_freq_factor
        )
        blend = np.clip(blend, 0, 1)
        frequencies = frequencies * (blend + (1 - blend) / scaling.factor)
    return frequencies.astype(np.float32)


def rotary_angles(
    positions: Int[Array, "batch seq"],
    head_dim: int,
    theta: float,
    scaling: RopeScaling | None = None,
) -> Float[Array, "2 batch seq half"]:
    """cos and sin of every position's angles."""
    frequencies = rotary_frequencies(head_dim, theta, scaling)
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)])


def _rotate(x: Array, cos: Array, sin: Array) -> Array:
    left, right = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    rotated = jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
    return rotated.astype(x.dtype)


@jax.custom_vjp
def rotate(
    x: Float[Array, "batch seq heads head_dim"], angles: Float[Array, "2 batch seq half"]
) -> Float[Array, "batch seq heads head_dim"]:
    """Rotary position embedding with half-split rotation (LLaMA as Hugging Face stores it).

    Its gradient is the rotation backwards, written out so that it stays in x's dtype.
    """
    return _rotate(x, angles[0, :, :, None], angles[1, :, :, None])


def _rotate_forward(x: Array, angles: Array) -> tuple[Array, Array]:
    return rotate(x, angles), angles


def _rotate_backward(angles: Array, g: Array) -> tuple[Array, None]:
    return _rotate(g, angles[0, :, :, None], -angles[1, :, :, None]), None


rotate.defvjp(_rotate_forward, _rotate_backward)


def causal_mask(
    segments: Int[Array, "batch seq"],
) -> Bool[Array, "batch seq seq"]:
    """Who may look at whom: earlier tokens (and itself) of the same segment."""
    same = segments[:, :, None] == segments[:, None, :]
    return same & jnp.tril(jnp.ones((segments.shape[1],) * 2, bool))


class Packed(NamedTuple):
    """Stands for `causal_mask(segments)`: kernels make it themselves, and skip what it hides."""

    segments: Int[Array, "batch seq"]


def attend(
    q: Float[Array, "batch queries heads head_dim"],
    k: Float[Array, "batch keys kv_heads head_dim"],
    v: Float[Array, "batch keys kv_heads head_dim"],
    mask: Packed | Bool[Array, "batch queries keys"] | None,
    compute: Compute,
) -> Float[Array, "batch queries heads head_dim"]:
    """Softmax attention; query head h reads key head h // (heads // kv_heads).

    q: scaled by head_dim**-0.5, which costs nothing where queries are made, and a pass over the
      scores here.
    """
    if compute.platform == "cpu":
        return named(_folded(q, k, v, mask), CONTEXT)
    if isinstance(mask, Packed):
        return splash_attention(q, k, v, mask.segments)
    return named(_by_heads(q, k, v, mask, compute.precision), CONTEXT)


def _folded(q: Array, k: Array, v: Array, mask: Packed | Array | None) -> Array:
    """For a CPU: rows and key heads are one axis, and so are positions and the queries that share
    a key head, so that a grouped product is a plain batched one.

    Elsewhere heads stay an axis of their own: folded they cannot be cut over a tensor axis.
    """
    batch, queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]

    def fold(x: Array) -> Array:
        x = x.reshape(*x.shape[:2], kv_heads, -1).swapaxes(1, 2)
        return x.reshape(batch * kv_heads, -1, head_dim)

    causal = isinstance(mask, Packed)
    seen = causal_mask(mask.segments) if isinstance(mask, Packed) else mask
    bias = None
    if seen is not None:
        bias = jnp.where(seen[:, None, :, None], 0.0, _MASKED)
        bias = jnp.broadcast_to(bias, (batch, kv_heads, queries, heads // kv_heads, keys))
        bias = bias.reshape(batch * kv_heads, -1, keys)
    out = cpu.attention(causal, fold(q), fold(k), fold(v), bias)
    out = out.reshape(batch, kv_heads, queries, -1).swapaxes(1, 2)
    return out.reshape(batch, queries, heads, head_dim)


def _by_heads(
    q: Array, k: Array, v: Array, mask: Array | None, precision: jax.lax.Precision | None
) -> Array:
    product = partial(jnp.einsum, preferred_element_type=jnp.float32, precision=precision)
    batch, queries, heads, head_dim = q.shape
    kv_heads = k.shape[2]
    q = q.reshape(batch, queries, kv_heads, heads // kv_heads, head_dim)
    scores = product("bqhgd,bkhd->bhgqk", q, k)
    if mask is not None:
        scores = scores + jnp.where(mask[:, None, None], 0.0, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(v.dtype)
    out = product("bhgqk,bkhd->bqhgd", weights, v)
    return out.reshape(batch, queries, heads, head_dim).astype(v.dtype)


class Projections(nn.Module):
    """Query, key and value products of an attention layer, and the one back."""

    width: int
    heads: int
    kv_heads: int
    head_dim: int
    use_bias: bool
    compute: Compute

    def setup(self) -> None:
        def dense(features: int) -> Dense:
            return Dense(features, self.compute, use_bias=self.use_bias)

        if self.compute.native:
            self.qkv = dense((self.heads + 2 * self.kv_heads) * self.head_dim)
        else:
            self.query = dense(self.heads * self.head_dim)
            self.key = dense(self.kv_heads * self.head_dim)
            self.value = dense(self.kv_heads * self.head_dim)
        self.out = dense(self.width)

    def split(self, x: Float[Array, "batch seq d"]) -> tuple[Array, Array, Array]:
        """-> queries [batch, seq, heads, head_dim], keys and values [batch, seq, kv_heads, ...]."""

        def heads(y: Array) -> Array:
            return y.reshape(*y.shape[:2], -1, self.head_dim)

        if self.compute.native:
            ends = [self.heads, self.heads + self.kv_heads]
            return tuple(jnp.split(heads(self.qkv(x)), ends, axis=2))
        return heads(self.query(x)), heads(self.key(x)), heads(self.value(x))

    def join(self, x: Float[Array, "batch seq heads head_dim"]) -> Float[Array, "batch seq d"]:
        return named(self.out(x.reshape(*x.shape[:2], -1)), ATTENTION_OUT)
