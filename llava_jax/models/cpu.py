"""The forms in which XLA's CPU backend multiplies bfloat16 fast, and what else it wants put so.

It has bfloat16 x bfloat16 -> float32 as "mk,kn->mn", "mn,kn->mk" and their batched kind; results in
bfloat16, and sums over the first axis of both operands, fall back to float32 at half the speed.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_COLUMNS = 8  # of a block that is transposed
# Positions of a block of causal attention, at least, and blocks, at most: with more and smaller
# ones, what each costs by itself outweighs what is not computed.
_BLOCK, _BLOCKS = 128, 4


def computed_apart(tree: Any) -> Any:
    """The same arrays; what is computed from them shares no kernel or memory with anything else."""
    return jax.lax.optimization_barrier(tree)


def two_rows(x: Float[Array, "1 d"]) -> Float[Array, "2 d"]:
    """x and a row of zeros: a product with a single row would convert its kernel to float32."""
    return jnp.pad(x, ((0, 1), (0, 0)))


def bits(x: Array) -> Array:
    """A bfloat16 array as integers: XLA's CPU backend has no update in place in bfloat16."""
    return jax.lax.bitcast_convert_type(x, jnp.uint16)


def from_bits(x: Array) -> Array:
    """The bfloat16 array of `bits`."""
    return jax.lax.bitcast_convert_type(x, jnp.bfloat16)


def columns_first(x: Float[Array, "*rows n"]) -> Float[Array, "n m"]:
    """x as a matrix [m, n], transposed.

    XLA folds a plain transpose back into the product that reads it, in a form it has only in
    float32; it leaves this one, in blocks of columns, alone. The axes of x become one only after
    it: a kernel that cuts them anew is five times slower.
    """
    n = x.shape[-1]
    if n % _COLUMNS:
        return x.reshape(-1, n).T
    blocks = x.reshape(*x.shape[:-1], n // _COLUMNS, _COLUMNS)
    return jnp.moveaxis(blocks, (-2, -1), (0, 1)).reshape(n, -1)


def einsum_f32(equation: str, *operands: Array) -> Array:
    """bfloat16 x bfloat16 -> float32: the product that the hardware has."""
    return jnp.einsum(equation, *operands, preferred_element_type=jnp.float32)


@jax.custom_vjp
def product(x: Float[Array, "*m k"], kernel: Float[Array, "k n"]) -> Float[Array, "*m n"]:
    """x @ kernel in x's dtype.

    The kernel may be a float32 master: it is rounded here, and its gradient stays float32, which
    saves a pass over each gradient.
    """
    return _product_forward(x, kernel)[0]


def _product_forward(x: Array, kernel: Array) -> tuple[Array, tuple]:
    rounded = kernel.astype(x.dtype)
    y = einsum_f32("mk,kn->mn", _rows(x), rounded).astype(x.dtype)
    return y.reshape(*x.shape[:-1], -1), (x, rounded, jnp.zeros((), kernel.dtype))


def _product_backward(saved: tuple, g: Array) -> tuple[Array, Array]:
    x, kernel, like = saved
    dx = einsum_f32("mn,kn->mk", _rows(g), kernel).astype(x.dtype)
    dkernel = einsum_f32("km,mn->kn", columns_first(x), _rows(g)).astype(like.dtype)
    return dx.reshape(x.shape), dkernel


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


product.defvjp(_product_forward, _product_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def attention(
    causal: bool,
    q: Float[Array, "n queries d"],
    k: Float[Array, "n keys d"],
    v: Float[Array, "n keys d"],
    bias: Float[Array, "n queries keys"] | None,
) -> Float[Array, "n queries d"]:
    """Softmax attention in q's dtype; bias is added to the scores, and gets no gradient.

    q: scaled, as `models.attention.attend` takes it.
    causal: the bias hides all keys of later positions, so that most of them can be left out. Each
      key's position has the same number of queries, one after another.
    """
    return _attention_forward(causal, q, k, v, bias)[0]


def _attention_forward(
    causal: bool, q: Array, k: Array, v: Array, bias: Array | None
) -> tuple[Array, tuple]:
    weights, outs = [], []
    for rows, seen in _blocks(causal, q.shape[1], k.shape[1]):
        scores = einsum_f32("nqd,nkd->nqk", q[:, rows], k[:, seen])
        if bias is not None:
            scores = scores + bias[:, rows, seen]
        weights.append(jax.nn.softmax(scores, axis=-1).astype(q.dtype))
        outs.append(einsum_f32("nqk,nkd->nqd", weights[-1], v[:, seen]))
    out = jnp.concatenate(outs, axis=1)
    return out.astype(q.dtype), (q, k, v, weights, out)


def _blocks(causal: bool, queries: int, keys: int) -> list[tuple[slice, slice]]:
    """Queries that are computed together, and the keys that they may see."""
    if not causal:
        return [(slice(queries), slice(keys))]
    group, size = queries // keys, max(_BLOCK, math.ceil(keys / _BLOCKS))
    firsts = range(0, keys, size)
    return [(slice(i * group, (i + size) * group), slice(i + size)) for i in firsts]


def _attention_backward(causal: bool, saved: tuple, g: Array) -> tuple:
    """The gradient of softmax attention with every product in a fast form.

    `out` is saved in float32: rounded, its error in `inner` is the same for all keys of a query
    and can be as large as what tells the keys apart.
    """
    q, k, v, weights, out = saved
    inner = (g.astype(jnp.float32) * out).sum(-1, keepdims=True)
    turned_q, turned_g = jax.vmap(columns_first)(q), jax.vmap(columns_first)(g)

    def block(rows: slice, seen: slice, weights: Array) -> tuple[Array, Array, Array]:
        dweights = einsum_f32("nqd,nkd->nqk", g[:, rows], v[:, seen])
        dscores = weights.astype(jnp.float32) * (dweights - inner[:, rows])
        dscores = dscores.astype(q.dtype)
        dq = einsum_f32("nqk,nkd->nqd", dscores, k[:, seen])
        dk = einsum_f32("ndq,nqk->ndk", turned_q[..., rows], dscores)
        dv = einsum_f32("ndq,nqk->ndk", turned_g[..., rows], weights)
        unseen = [(0, 0), (0, 0), (0, k.shape[1] - weights.shape[2])]
        return dq, jnp.pad(dk, unseen), jnp.pad(dv, unseen)

    places = _blocks(causal, q.shape[1], k.shape[1])
    blocks = [block(*place, part) for place, part in zip(places, weights, strict=True)]
    dq, dk, dv = zip(*blocks, strict=True)
    dq = jnp.concatenate(dq, axis=1).astype(q.dtype)
    # Rounded before they are turned: XLA would undo the turn in the product, in a slow form.
    dk, dv = (sum(parts).astype(q.dtype).swapaxes(1, 2) for parts in (dk, dv))
    return dq, dk, dv, None


attention.defvjp(_attention_forward, _attention_backward)
