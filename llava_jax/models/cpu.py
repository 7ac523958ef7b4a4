"""The forms in which XLA's CPU backend multiplies bfloat16 fast, and what else it wants put so.

It has bfloat16 x bfloat16 -> float32 as "mk,kn->mn", "mn,kn->mk" and their batched kind; results in
bfloat16, and sums over the first axis of both operands, fall back to float32 at half the speed.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_BLOCK = 32


def computed_once(x: Array) -> Array:
    """x, which no kernel that reads it may compute again for itself.

    XLA would fuse cosines and sines into every rotation of every layer: 15 times the work.
    """
    return jax.lax.optimization_barrier(x)


def two_rows(x: Float[Array, "1 d"]) -> Float[Array, "2 d"]:
    """x and a row of zeros: a product with a single row would convert its kernel to float32."""
    return jnp.pad(x, ((0, 1), (0, 0)))


def bits(x: Array) -> Array:
    """A bfloat16 array as integers: XLA's CPU backend has no update in place in bfloat16."""
    return jax.lax.bitcast_convert_type(x, jnp.uint16)


def from_bits(x: Array) -> Array:
    """The bfloat16 array of `bits`."""
    return jax.lax.bitcast_convert_type(x, jnp.bfloat16)


def blocked_transpose(x: Float[Array, "*batch m n"]) -> Float[Array, "*batch n m"]:
    """Transposes in 32x32 blocks.

    XLA folds a plain transpose back into the product that reads it, in a form it has only in
    float32; it leaves this one alone.
    """
    *batch, m, n = x.shape
    if m % _BLOCK or n % _BLOCK:
        return x.swapaxes(-1, -2)
    k = len(batch)
    x = x.reshape(*batch, m // _BLOCK, _BLOCK, n // _BLOCK, _BLOCK)
    return x.transpose(*range(k), k + 2, k + 3, k, k + 1).reshape(*batch, n, m)


def einsum_f32(equation: str, *operands: Array) -> Array:
    """bfloat16 x bfloat16 -> float32: the product that the hardware has."""
    return jnp.einsum(equation, *operands, preferred_element_type=jnp.float32)


@jax.custom_vjp
def product(x: Float[Array, "m k"], kernel: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """x @ kernel in x's dtype.

    The kernel may be a float32 master: it is rounded here, and its gradient stays float32, which
    saves a pass over each gradient.
    """
    return _product_forward(x, kernel)[0]


def _product_forward(x: Array, kernel: Array) -> tuple[Array, tuple]:
    rounded = kernel.astype(x.dtype)
    y = einsum_f32("mk,kn->mn", x, rounded).astype(x.dtype)
    return y, (x, rounded, jnp.zeros((), kernel.dtype))


def _product_backward(saved: tuple, g: Array) -> tuple[Array, Array]:
    x, kernel, like = saved
    dx = einsum_f32("mn,kn->mk", g, kernel).astype(x.dtype)
    dkernel = einsum_f32("km,mn->kn", blocked_transpose(x), g).astype(like.dtype)
    return dx, dkernel


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def attention(
    q: Float[Array, "n queries d"],
    k: Float[Array, "n keys d"],
    v: Float[Array, "n keys d"],
    bias: Float[Array, "n queries keys"] | None,
) -> Float[Array, "n queries d"]:
    """Softmax attention in q's dtype; bias is added to the scores, and gets no gradient."""
    return _attention_forward(q, k, v, bias)[0]


def _attention_forward(q: Array, k: Array, v: Array, bias: Array | None) -> tuple[Array, tuple]:
    scores = einsum_f32("nqd,nkd->nqk", q, k) * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    weights = jax.nn.softmax(scores, axis=-1).astype(q.dtype)
    out = einsum_f32("nqk,nkd->nqd", weights, v)
    return out.astype(q.dtype), (q, k, v, weights, out)


def _attention_backward(saved: tuple, g: Array) -> tuple:
    """The gradient of softmax attention with every product in a fast form.

    `out` is saved in float32: rounded, its error in `inner` is the same for all keys of a query
    and can be as large as what tells the keys apart.
    """
    q, k, v, weights, out = saved
    inner = (g.astype(jnp.float32) * out).sum(-1, keepdims=True)
    dweights = einsum_f32("nqd,nkd->nqk", g, v)
    dscores = weights.astype(jnp.float32) * (dweights - inner) * q.shape[-1] ** -0.5
    dscores = dscores.astype(q.dtype)
    dq = einsum_f32("nqk,nkd->nqd", dscores, k).astype(q.dtype)
    dk = einsum_f32("nkq,nqd->nkd", blocked_transpose(dscores), q).astype(k.dtype)
    dv = einsum_f32("nkq,nqd->nkd", blocked_transpose(weights), g).astype(v.dtype)
    return dq, dk, dv, None


attention.defvjp(_attention_forward, _attention_backward)
