"""Choosing the next token: greedy, temperature, top-k and top-p, each row in its own way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, UInt32

from llava_jax.errors import UserError

LIKELIEST = 20  # tokens whose log-probabilities are given beside the chosen one's


@dataclass(frozen=True)
class SamplingParams:
    """How one request's tokens are chosen.

    temperature: 0 takes the likeliest token. top_k: only the k likeliest may be drawn; 0: all.
    top_p: of those, the fewest that together hold this share of the probability; 1: all.
    seed: of this request alone; the same request draws the same tokens in any batch.
    logprobs: whether log-probabilities are wanted.

    Raises:
      UserError: a value outside its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    logprobs: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise UserError(f"temperature must be 0 or more, not {self.temperature}")
        if self.top_k < 0:
            raise UserError(f"top_k must be 0 (all tokens) or more, not {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")


class RowSampling(NamedTuple):
    """The sampling parameters of a batch's rows."""

    temperature: Float32[Array, " batch"]
    top_k: Int32[Array, " batch"]
    top_p: Float32[Array, " batch"]
    seed: UInt32[Array, " batch"]
    logprobs: Bool[Array, " batch"]

    @classmethod
    def greedy(cls, rows: int) -> "RowSampling":
        return stack([SamplingParams()] * rows)


def stack(rows: Sequence[SamplingParams]) -> RowSampling:
    """Parameters of several requests as arrays; of a seed, the lowest 32 bits count."""
    return RowSampling(
        jnp.array([row.temperature for row in rows], jnp.float32),
        jnp.array([row.top_k for row in rows], jnp.int32),
        jnp.array([row.top_p for row in rows], jnp.float32),
        jnp.array([row.seed % 2**32 for row in rows], jnp.uint32),
        jnp.array([row.logprobs for row in rows], bool),
    )


class Drawn(NamedTuple):
    """The next token of each row; where asked for, how likely it was, and what was likelier.

    logprob: of the token, before temperature, top-k and top-p; log-probabilities are 0 in rows that
    do not ask. others: the LIKELIEST tokens in order, with their log-probabilities.
    """

    token: Int[Array, " batch"]
    logprob: Float32[Array, " batch"]
    others: Int[Array, "batch likeliest"]
    other_logprobs: Float32[Array, "batch likeliest"]


def sample(
    logits: Float[Array, "batch vocab"], sampling: RowSampling, step: Int[Array, " batch"]
) -> Drawn:
    """Each row's next token.

    step: how many tokens the row has drawn before. The randomness comes from the row's seed and
      step alone, so a row draws the same alone and in any batch.
    """
    logits = logits.astype(jnp.float32)
    greedy = _first_greatest(logits)
    is_drawn = sampling.temperature > 0
    # Only one branch runs: a greedy batch pays nothing for the other.
    drawn = jax.lax.cond(is_drawn.any(), _draw, lambda *_: greedy, logits, sampling, step)
    token = jnp.where(is_drawn, drawn, greedy)
    return Drawn(token, *_logprobs(logits, token, sampling.logprobs))


def _logprobs(logits: Array, token: Array, wanted: Bool[Array, " batch"]) -> tuple[Array, ...]:
    count = min(LIKELIEST, logits.shape[-1])

    def computed() -> tuple[Array, ...]:
        everything = jax.nn.log_softmax(logits, axis=-1)
        best, others = jax.lax.top_k(everything, count)
        of_token = jnp.take_along_axis(everything, token[:, None], axis=-1)[:, 0]
        return of_token, others.astype(jnp.int32), best

    def nothing() -> tuple[Array, ...]:
        zeros = jnp.zeros((len(token), count), jnp.float32)
        return zeros[:, 0], zeros.astype(jnp.int32), zeros

    of_token, others, best = jax.lax.cond(wanted.any(), computed, nothing)
    return jnp.where(wanted, of_token, 0), others, jnp.where(wanted[:, None], best, 0)


def allowed(
    logits: Float32[Array, "batch vocab"], sampling: RowSampling
) -> Bool[Array, "batch vocab"]:
    """Tokens that may be drawn: first top-k, then top-p within those. Equals stay together."""
    keys = _sortable(logits)
    top_k, top_p = sampling.top_k[:, None], sampling.top_p[:, None]
    ones = jnp.ones_like(logits)

    def within_k() -> Array:
        return keys >= _threshold(keys, ones, top_k.astype(jnp.float32))

    kept = (top_k == 0) | jax.lax.cond((top_k > 0).any(), within_k, lambda: ones > 0)

    def within_p() -> Array:
        shares = jax.nn.softmax(jnp.where(kept, logits, -jnp.inf), axis=-1)
        return keys >= _threshold(keys, shares, top_p)

    return kept & ((top_p >= 1) | jax.lax.cond((top_p < 1).any(), within_p, lambda: ones > 0))


def _draw(logits: Array, sampling: RowSampling, step: Array) -> Array:
    logits = logits / jnp.where(sampling.temperature > 0, sampling.temperature, 1)[:, None]
    scores = jnp.where(allowed(logits, sampling), logits, -jnp.inf)

    def noise(seed: Array, step: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), step)
        return jax.random.gumbel(key, logits.shape[1:])

    return _first_greatest(scores + jax.vmap(noise)(sampling.seed, step))


def _first_greatest(scores: Float[Array, "batch vocab"]) -> Int32[Array, " batch"]:
    """jnp.argmax in two passes: its single one is eight times slower on a CPU."""
    last = scores.shape[-1] - 1
    greatest = scores == scores.max(axis=-1, keepdims=True)
    return jnp.where(greatest, jnp.arange(last + 1, dtype=jnp.int32), last).min(axis=-1)


def _sortable(x: Float32[Array, "batch vocab"]) -> UInt32[Array, "batch vocab"]:
    """Integers in the order of the floats: negative ones have all their bits turned."""
    unsigned_zero = jnp.where(x == 0, 0.0, x)
    bits = jax.lax.bitcast_convert_type(unsigned_zero, jnp.uint32)
    return jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))


def _threshold(
    keys: UInt32[Array, "batch vocab"],
    weights: Float[Array, "batch vocab"],
    needed: Float[Array, "batch 1"],
) -> UInt32[Array, "batch 1"]:
    """The largest key such that the keys from it upwards weigh at least `needed`.

    Found bit by bit: 32 passes over a row are cheaper than sorting it, on CPU and TPU.
    """

    def with_bit(i: Array, found: Array) -> Array:
        candidate = found | (jnp.uint32(1 << 31) >> i.astype(jnp.uint32))
        weight = jnp.where(keys >= candidate, weights, 0).sum(-1, keepdims=True)
        return jnp.where(weight >= needed, candidate, found)

    return jax.lax.fori_loop(0, 32, with_bit, jnp.zeros(needed.shape, jnp.uint32))
