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
    """A causal mask within segments that a kernel makes itself."""

    segments: Int[Array, "batch seq"]


def within_segments(
    segments: Int[Array, "batch seq"], compute: Compute
) -> Packed | Bool[Array, "batch seq seq"]:
    """What `attend` needs for packed or padded rows: the one place that picks the kernel."""
    return Packed(segments) if compute.platform == "tpu" else causal_mask(segments)


def attend(
    q: Float[Array, "batch queries heads head_dim"],
    k: Float[Array, "batch keys kv_heads head_dim"],
    v: Float[Array, "batch keys kv_heads head_dim"],
    mask: Packed | Bool[Array, "batch queries keys"] | None,
    compute: Compute,
) -> Float[Array, "batch queries heads head_dim"]:
    """Softmax attention; query head h reads key head h // (heads // kv_heads).

    On a CPU the queries of one key head are folded into rows, and rows and heads into one axis, so
    that a grouped product is a plain batched one. Elsewhere heads stay an axis of their own: one
    that is folded cannot be shared by the devices of a tensor axis.
    """
    if isinstance(mask, Packed):
        return splash_attention(q, k, v, mask.segments)
    if compute.platform == "tpu":
        return named(_by_heads(q, k, v, mask, compute.precision), CONTEXT)
    batch, queries, heads, head_dim = q.shape
    keys, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    q = q.reshape(batch, queries, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    q = q.reshape(batch * kv_heads, group * queries, head_dim)
    k, v = (a.transpose(0, 2, 1, 3).reshape(batch * kv_heads, keys, head_dim) for a in (k, v))
    bias = None
    if mask is not None:
        folded = (batch, kv_heads, group, queries, keys)
        bias = jnp.where(mask[:, None, None], 0.0, _MASKED)
        bias = jnp.broadcast_to(bias, folded).reshape(q.shape[0], q.shape[1], keys)
    if compute.cpu_bfloat16:
        out = cpu.attention(q, k, v, bias)
    else:
        out = _attention(q, k, v, bias, compute.precision)
    out = out.reshape(batch, kv_heads, group, queries, head_dim).transpose(0, 3, 1, 2, 4)
    return named(out.reshape(batch, queries, heads, head_dim), CONTEXT)


def _by_heads(
    q: Array, k: Array, v: Array, mask: Array | None, precision: jax.lax.Precision | None
) -> Array:
    product = partial(jnp.einsum, preferred_element_type=jnp.float32, precision=precision)
    batch, queries, heads, head_dim = q.shape
    kv_heads = k.shape[2]
    q = q.reshape(batch, queries, kv_heads, heads // kv_heads, head_dim)
    scores = product("bqhgd,bkhd->bhgqk", q, k) * head_dim**-0.5
    bias = None if mask is None else jnp.where(mask[:, None, None], 0.0, _MASKED)
    weights = _softmax(scores, bias).astype(v.dtype)
    out = product("bhgqk,bkhd->bqhgd", weights, v)
    return out.reshape(batch, queries, heads, head_dim).astype(v.dtype)


def _softmax(scores: Array, bias: Array | None) -> Array:
    if bias is not None:
        scores = scores + bias
    return jax.nn.softmax(scores, axis=-1)


def _attention(
    q: Array, k: Array, v: Array, bias: Array | None, precision: jax.lax.Precision | None
) -> Array:
    product = partial(jnp.einsum, preferred_element_type=jnp.float32, precision=precision)
    weights = _softmax(product("nqd,nkd->nqk", q, k) * q.shape[-1] ** -0.5, bias)
    return product("nqk,nkd->nqd", weights.astype(v.dtype), v).astype(q.dtype)


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
