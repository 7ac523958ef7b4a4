"""Cross-entropy over the vocabulary, a chunk of positions at a time."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from llava_jax.models.compute import Compute
from llava_jax.models.layers import blocked_transpose

_CHUNK = 512  # positions whose logits exist at one time


class Targets(NamedTuple):
    """What is to be predicted: `tokens[b, k]` from the hidden state at `positions[b, k]`."""

    positions: Int[Array, "batch k"]
    tokens: Int[Array, "batch k"]
    weights: Float[Array, "batch k"]


def next_token_weights(
    segments: Int[Array, "batch seq"], loss_weights: Float[Array, "batch seq"]
) -> Float[Array, "batch seq-1"]:
    """Weight of predicting token s + 1 from position s: 0 where that begins another sample."""
    same = segments[:, 1:] == segments[:, :-1]
    return jnp.where(same, loss_weights[:, 1:], 0.0)


def select_targets(
    tokens: Int[Array, "batch seq"], weights: Float[Array, "batch seq-1"], limit: int = 0
) -> Targets:
    """The supervised positions of each row, in order.

    Args:
      weights: of predicting the next token (`next_token_weights`).
      limit: targets kept a row; 0 keeps a place for every position. The batches must hold no
        more supervised tokens a row than that (the packing sees to it).
    """
    seq = weights.shape[1]
    positions = jnp.broadcast_to(jnp.arange(seq), weights.shape)
    if limit and limit < seq:
        positions = jnp.argsort(weights <= 0, axis=1, stable=True)[:, :limit]
    pick = partial(jnp.take_along_axis, indices=positions, axis=1)
    return Targets(positions, pick(tokens[:, 1:]), pick(weights))


def normalize_weights(
    weights: Float[Array, "batch targets"], groups: int = 1
) -> Float[Array, "batch targets"]:
    """Weights whose sum of losses is the mean over the batch's supervised tokens.

    groups: 1 is the mean over all tokens, whatever the devices and micro-batches. More is the
      original's: a mean within each of that many runs of rows, then over the runs that have any.
    """
    grouped = weights.reshape(groups, -1)
    totals = grouped.sum(1, keepdims=True)
    filled = jnp.maximum((totals > 0).sum(), 1)
    return (grouped / jnp.maximum(totals, 1e-9) / filled).reshape(weights.shape)


def cross_entropy(
    hidden: Float[Array, "batch k d"],
    head: Float[Array, "..."],
    tokens: Int[Array, "batch k"],
    weights: Float[Array, "batch k"],
    *,
    tied: bool,
    compute: Compute,
) -> Float[Array, ""]:
    """Weighted sum of -log p(token); the [batch, k, vocab] logits are never held.

    The gradients are made together with the loss, since each chunk's logits are at hand then; one
    that nobody asks for (a frozen head's) is no part of the compiled program.

    Args:
      head: [vocab, d] where the head is tied to the embeddings, else [d, vocab].
    """
    d = hidden.shape[-1]
    flat = hidden.reshape(-1, d), tokens.reshape(-1), weights.reshape(-1)
    pad = -flat[1].shape[0] % min(_CHUNK, flat[1].shape[0])
    x, t, w = (jnp.pad(a, [(0, pad)] + [(0, 0)] * (a.ndim - 1)) for a in flat)
    options = _Options(tied, compute)
    return _cross_entropy(options, x, head.astype(compute.dtype), t, w)


class _Options(NamedTuple):
    tied: bool
    compute: Compute


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(options: _Options, x: Array, head: Array, tokens: Array, weights: Array):
    return _forward(options, x, head, tokens, weights)[0]


def _forward(options: _Options, x: Array, head: Array, tokens: Array, weights: Array):
    """(loss, (d loss / d x, d loss / d head))."""
    compute = options.compute
    einsum = partial(jnp.einsum, preferred_element_type=jnp.float32, precision=compute.precision)
    to_logits, to_x = ("md,vd->mv", "mv,vd->md") if options.tied else ("md,dv->mv", "mv,dv->md")

    def chunk(carry: tuple, inputs: tuple) -> tuple:
        loss, dhead = carry
        x, tokens, weights = inputs
        logits = einsum(to_logits, x, head)
        log_total = jax.nn.logsumexp(logits, axis=-1)
        label = jnp.take_along_axis(logits, tokens[:, None], axis=1)[:, 0]
        loss = loss + (weights * (log_total - label)).sum()
        dlogits = jnp.exp(logits - log_total[:, None])
        dlogits = dlogits - jax.nn.one_hot(tokens, logits.shape[-1], dtype=jnp.float32)
        dlogits = (dlogits * weights[:, None]).astype(compute.dtype)
        dx = einsum(to_x, dlogits, head).astype(x.dtype)
        if options.tied:
            dhead = dhead + einsum("vm,md->vd", blocked_transpose(dlogits), x)
        else:
            dhead = dhead + einsum("dm,mv->dv", blocked_transpose(x), dlogits)
        return (loss, dhead), dx

    size = min(_CHUNK, x.shape[0])
    chunks = tuple(a.reshape(-1, size, *a.shape[1:]) for a in (x, tokens, weights))
    dhead = jnp.zeros(head.shape, jnp.float32)
    (loss, dhead), dx = jax.lax.scan(chunk, (jnp.zeros(()), dhead), chunks)
    return loss, (dx.reshape(x.shape), dhead.astype(head.dtype))


def _backward(options: _Options, saved: tuple, g: Array) -> tuple:
    dx, dhead = saved
    return (dx * g).astype(dx.dtype), (dhead * g).astype(dhead.dtype), None, None


_cross_entropy.defvjp(_forward, _backward)
