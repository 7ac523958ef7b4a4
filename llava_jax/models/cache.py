"""Keys and values of the tokens that were read before, and attention to them.

A block attends to the cache as it was and to its own new tokens; the new ones are written once,
after the last block. Written first, every layer's cache would be copied each step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from llava_jax.models import cpu, int8, native
from llava_jax.models.compute import Compute

# Keys "k" and values "v", each [layers, batch, kv_heads, length, head_dim]; in int8, "k_scale" and
# "v_scale" [..., length, 1] besides.
Cache = dict[str, Array]

_MASKED = -1e30
_CPU_BLOCK = 256  # cached tokens that are attended to at a time


def make_cache(
    *, depth: int, kv_heads: int, head_dim: int, batch: int, length: int, compute: Compute
) -> Cache:
    """An empty cache with room for `length` tokens in each of `batch` rows."""
    one = jnp.zeros((batch, kv_heads, 1, head_dim), compute.dtype)
    return {
        name: jnp.zeros((depth, *a.shape[:2], length, a.shape[3]), a.dtype)
        for name, a in store(one, one, compute).items()
    }


class Layer(NamedTuple):
    """A layer's part of a cache. number: which of the arrays' layers; None: they have no others."""

    arrays: Cache
    number: int | None

    @property
    def length(self) -> int:
        return length_of(self.arrays)

    def slots(self, first: Array | int, count: int) -> Cache:
        """`count` tokens of every row from `first` on, [batch, kv_heads, count, ...]."""
        arrays = self.arrays
        if self.number is not None and count == self.length:
            return {name: a[self.number] for name, a in arrays.items()}
        if self.number is None:
            return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, first, count, 2), arrays)

        def part(a: Array) -> Array:
            place = (self.number, 0, 0, first, 0)
            return jax.lax.dynamic_slice(a, place, (1, *a.shape[1:3], count, a.shape[4]))[0]

        return jax.tree.map(part, arrays)


def layers(cache: Cache, compute: Compute) -> Any:
    """The cache as `compute.run_blocks` hands it to blocks."""
    if compute.scan_layers:
        return Layer(cache, None)
    return [Layer(cache, i) for i in range(len(cache["k"]))]


def stacked(new: Any, compute: Compute) -> Cache:
    """What blocks add to a cache, of all layers, as `compute.run_blocks` gives it back."""
    return new if compute.scan_layers else jax.tree.map(lambda *a: jnp.stack(a), *new)


def store(
    k: Float[Array, "batch kv_heads new head_dim"],
    v: Float[Array, "batch kv_heads new head_dim"],
    compute: Compute,
) -> Cache:
    """A layer's new keys and values as the cache holds them."""
    if compute.int8_cache:
        (k, k_scale), (v, v_scale) = int8.rounded(k), int8.rounded(v)
        return {"k": k, "v": v, "k_scale": k_scale, "v_scale": v_scale}
    if compute.cpu_bfloat16:  # in its own dtype, a CPU could not write in place
        return {"k": cpu.bits(k), "v": cpu.bits(v)}
    return {"k": k, "v": v}


def load(layer: Cache, compute: Compute) -> tuple[Array, Array]:
    """A layer's keys and values [batch, kv_heads, length, head_dim] in the compute dtype."""
    if compute.int8_cache:
        return tuple(
            (layer[name].astype(jnp.float32) * layer[f"{name}_scale"]).astype(compute.dtype)
            for name in ("k", "v")
        )
    if compute.cpu_bfloat16:
        return cpu.from_bits(layer["k"]), cpu.from_bits(layer["v"])
    return layer["k"], layer["v"]


def write(cache: Cache, new: Cache, start: Int[Array, " batch"]) -> Cache:
    """The cache with each row's new tokens from that row's own `start` on.

    There must be room for all of them: what reaches beyond the end would be moved before it.
    """

    def written(row: Array, cache: Cache) -> Cache:
        return write_row(cache, take_row(new, row), row, start[row])

    # Row by row: of all rows at once XLA makes a scatter, and turns the whole cache around for it.
    return jax.lax.fori_loop(0, len(start), written, cache)


def grown(cache: Cache, more: int) -> Cache:
    """The cache with room for `more` tokens in each row."""

    def longer(a: Array) -> Array:
        return jnp.pad(a, [(0, 0)] * (a.ndim - 2) + [(0, more), (0, 0)])

    return jax.tree.map(longer, cache)


def length_of(cache: Cache) -> int:
    """How many tokens a row has room for."""
    return jax.tree.leaves(cache)[0].shape[-2]


def take_row(cache: Cache, row: Int[Array, ""]) -> Cache:
    """A cache of one row of this one."""

    def taken(cache: Array) -> Array:
        return jax.lax.dynamic_slice_in_dim(cache, row, 1, axis=cache.ndim - 4)

    return jax.tree.map(taken, cache)


def write_row(cache: Cache, new: Cache, row: Int[Array, ""], start: Int[Array, ""]) -> Cache:
    """The cache with `new`, a cache of one row, in the given row from `start` on; see `write`."""

    def written(cache: Array, new: Array) -> Array:
        zero = jnp.zeros_like(row)
        place = [*[zero] * (cache.ndim - 4), row, zero, start, zero]
        return jax.lax.dynamic_update_slice(cache, new, place)

    return jax.tree.map(written, cache, new)


class _Sums(NamedTuple):
    """Softmax so far: the greatest score of each query, and sums relative to it."""

    top: Float[Array, "*batch rows 1"]
    weight: Float[Array, "*batch rows 1"]
    values: Float[Array, "*batch rows head_dim"]


def attend_cached(
    q: Float[Array, "batch new heads head_dim"],
    k: Float[Array, "batch kv_heads new head_dim"],
    v: Float[Array, "batch kv_heads new head_dim"],
    layer: Layer,
    start: Int[Array, " batch"],
    compute: Compute,
) -> Float[Array, "batch new heads head_dim"]:
    """Causal attention of new tokens to each row's first `start` cached ones and to themselves.

    q: scaled, as `attention.attend` takes it.

    The cache is read in blocks, as many as the longest row has. A block beyond a row's own length
    changes none of its sums, so what a row gets does not depend on the others, to the last bit.
    """
    batch, new, heads, head_dim = q.shape
    kv_heads, group = k.shape[1], heads // k.shape[1]
    if compute.native and new == 1 and native.attends(head_dim, layer.length):
        queries = q.reshape(batch, kv_heads, group, head_dim)
        out = native.attention(queries, k, v, layer.arrays, layer.number or 0, start)
        return out.reshape(q.shape)
    # Queries of a key's head, one group after another, are rows of one product.
    q = q.reshape(batch, new, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    q = q.reshape(batch, kv_heads, group * new, head_dim)
    causal = jnp.tile(jnp.tril(jnp.ones((new, new), bool)), (group, 1))
    sums = _added(None, q, k, v, jnp.broadcast_to(causal, (batch, 1, *causal.shape)), compute)
    length = layer.length
    size = min(length, _CPU_BLOCK if compute.platform == "cpu" else length)

    def with_block(number: Any, sums: _Sums) -> _Sums:
        first = number * size
        seen = first + jnp.arange(size) < start[:, None, None, None]
        return _added(sums, q, *load(layer.slots(first, size), compute), seen, compute)

    if size == length:
        sums = with_block(0, sums)
    else:
        sums = jax.lax.fori_loop(0, -(-start.max() // size), with_block, sums)
    out = (sums.values / sums.weight).reshape(batch, kv_heads, group, new, head_dim)
    return out.transpose(0, 3, 1, 2, 4).reshape(batch, new, heads, head_dim).astype(compute.dtype)


def _added(
    sums: _Sums | None, q: Array, k: Array, v: Array, seen: Array, compute: Compute
) -> _Sums:
    """The sums with some more keys and values; seen [batch, 1, rows or 1, keys]: which count."""
    scores = _product("...qd,...kd->...qk", q, k, compute)
    scores = jnp.where(seen, scores, _MASKED)
    top = scores.max(-1, keepdims=True)
    top = top if sums is None else jnp.maximum(sums.top, top)
    weights = jnp.exp(scores - top)
    weight = weights.sum(-1, keepdims=True)
    values = _product("...qk,...kd->...qd", weights.astype(v.dtype), v, compute)
    if sums is None:
        return _Sums(top, weight, values)
    older = jnp.exp(sums.top - top)
    return _Sums(top, sums.weight * older + weight, sums.values * older + values)


def _product(equation: str, a: Array, b: Array, compute: Compute) -> Array:
    batch = a.shape[:2]
    if compute.platform == "cpu":  # it wants a single batch axis
        a, b = (x.reshape(-1, *x.shape[2:]) for x in (a, b))
    out = jnp.einsum(
        equation, a, b, preferred_element_type=jnp.float32, precision=compute.precision
    )
    return out.reshape(*batch, *out.shape[-2:])
