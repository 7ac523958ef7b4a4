"""Cross-entropy over the vocabulary, a chunk of positions at a time."""

from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from llava_jax.models.compute import Compute
from llava_jax.models.cpu import columns_first

_CHUNK = 512  # positions whose logits exist at one time
_CPU_CHUNK = 1024  # there the head's gradient, in memory between two chunks, costs more
_CPU_VOCABULARY = 6144  # tokens of one product: with more, a CPU's product is a third slower


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
    size = min(_CPU_CHUNK if compute.platform == "cpu" else _CHUNK, flat[1].shape[0])
    pad = -flat[1].shape[0] % size
    x, t, w = (jnp.pad(a, [(0, pad)] + [(0, 0)] * (a.ndim - 1)) for a in flat)
    return _cross_entropy(_Options(tied, size, compute), x, head, t, w)


class _Options(NamedTuple):
    tied: bool
    size: int  # positions of a chunk
    compute: Compute


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(options: _Options, x: Array, head: Array, tokens: Array, weights: Array):
    return _forward(options, x, head, tokens, weights)[0]


def _forward(options: _Options, x: Array, head: Array, tokens: Array, weights: Array):
    """(loss, (d loss / d x, d loss / d head))."""
    tied, size, compute = options
    einsum = partial(jnp.einsum, preferred_element_type=jnp.float32, precision=compute.precision)
    to_logits, to_x = ("md,vd->mv", "mv,vd->md") if tied else ("md,dv->mv", "mv,dv->md")
    turned = columns_first if compute.platform == "cpu" else jnp.matrix_transpose
    firsts, heads = _cut_vocabulary(head, options)

    def chunk(carry: tuple, inputs: tuple) -> tuple:
        loss, dheads = carry
        x, tokens, weights = inputs
        logits = [einsum(to_logits, x, part) for part in heads]
        log_total = reduce(jnp.logaddexp, [jax.nn.logsumexp(part, axis=-1) for part in logits])
        label = sum(map(partial(_of_labels, tokens), firsts, logits))
        loss = loss + (weights * (log_total - label)).sum()
        dx, grown = jnp.zeros(()), []
        for first, part, scores, dhead in zip(firsts, heads, logits, dheads, strict=True):
            dlogits = jnp.exp(scores - log_total[:, None])
            hot = jax.nn.one_hot(tokens - first, scores.shape[-1], dtype=jnp.float32)
            dlogits = ((dlogits - hot) * weights[:, None]).astype(compute.dtype)
            dx = dx + einsum(to_x, dlogits, part)
            if tied:
                grown.append(dhead + einsum("vm,md->vd", turned(dlogits), x))
            else:
                grown.append(dhead + einsum("dm,mv->dv", turned(x), dlogits))
        return (loss, grown), dx.astype(x.dtype)

    chunks = tuple(a.reshape(-1, size, *a.shape[1:]) for a in (x, tokens, weights))
    nothing = [jnp.zeros(part.shape, jnp.float32) for part in heads]
    (loss, dheads), dx = jax.lax.scan(chunk, (jnp.zeros(()), nothing), chunks)
    dhead = jnp.concatenate([part.astype(head.dtype) for part in dheads], 0 if tied else 1)
    return loss, (dx.reshape(x.shape), dhead)


def _cut_vocabulary(head: Array, options: _Options) -> tuple[list[int], list[Array]]:
    """Parts of the head that are multiplied one by one, and the first token of each."""
    axis = 0 if options.tied else 1
    count = head.shape[axis]
    width = _CPU_VOCABULARY if options.compute.platform == "cpu" else count
    firsts = list(range(0, count, width))
    ends = [min(first + width, count) for first in firsts]
    parts = [
        # Cut before it is rounded: a CPU cuts bfloat16 by way of float32.
        jax.lax.slice_in_dim(head, first, end, axis=axis).astype(options.compute.dtype)
        for first, end in zip(firsts, ends, strict=True)
    ]
    return firsts, parts


def _of_labels(tokens: Array, first: int, logits: Float[Array, "m part"]) -> Float[Array, " m"]:
    """The logits of the tokens that are in this part of the vocabulary, 0 for the others."""
    places = tokens - first
    picked = jnp.take_along_axis(logits, places[:, None], axis=1, mode="clip")[:, 0]
    return jnp.where((places >= 0) & (places < logits.shape[1]), picked, 0.0)


def _backward(options: _Options, saved: tuple, g: Array) -> tuple:
    dx, dhead = saved
    return (dx * g).astype(dx.dtype), (dhead * g).astype(dhead.dtype), None, None


_cross_entropy.defvjp(_forward, _backward)
