"""A batch of prompts to tokens: prefill, then a decode loop that runs on the device.

Three programs, each compiled once for a shape: `prefill` for each number of rows and prompt length,
`grow` and `decode` for each number of rows and cache length. Callers round those up (`bucket`,
`power_of_two`), so that few shapes occur.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Int32

from llava_jax.inference.sampling import RowSampling, sample
from llava_jax.models.compute import Compute
from llava_jax.models.language import Cache, make_cache
from llava_jax.models.llava import Batch, Llava, LlavaConfig

CHUNK = 32  # tokens that one call of `decode` can give
NOTHING = -1  # stands where a row that is done gives no token

FEWEST_ROWS = 2  # in `decode`: a product with a single row takes a slow path on a CPU
SHORTEST_PROMPT = 16
SHORTEST_CACHE = 128


class Limits(NamedTuple):
    """How each row chooses its tokens, and when it ends.

    most: tokens a row may generate, 0 in rows that only fill the batch. stops: tokens after which
      it ends, filled up with NOTHING.
    """

    sampling: RowSampling
    most: Int32[Array, " batch"]
    stops: Int32[Array, "batch stops"]


class Rows(NamedTuple):
    """A batch being generated.

    token: each row's newest, which is not in the cache yet. length: tokens in the cache.
    generated: tokens so far. done: rows that generate no more.
    """

    cache: Cache
    token: Int[Array, " batch"]
    length: Int[Array, " batch"]
    generated: Int[Array, " batch"]
    done: Bool[Array, " batch"]


def bucket(count: int, least: int) -> int:
    """The next of four sizes in each octave (..., 64, 80, 96, 112, 128, 160, ...), from `least`."""
    step = max(least, power_of_two(count) // 8)
    return max(least, -(-count // step) * step)


def power_of_two(count: int, least: int = 1) -> int:
    """The next power of two, from `least` upwards."""
    return max(least, 1 << max(count - 1, 0).bit_length())


@partial(jax.jit, static_argnames=("config", "compute"))
def encode_images(config: LlavaConfig, compute: Compute, params: Any, images: Array) -> Array:
    """The tower's features [n, features, d] of images uint8 [n, height, width, 3]."""
    return Llava(config, compute).apply({"params": params}, images, method=Llava.encode_images)


@partial(jax.jit, static_argnames=("config", "compute"))
def prefill(
    config: LlavaConfig, compute: Compute, params: Any, batch: Batch, limits: Limits
) -> Rows:
    """Reads the prompts (see `Llava.prefill`) and chooses each row's first token.

    The cache that comes back has room for the prompts alone: `grow` it before `decode`.
    """
    count, length = batch["tokens"].shape
    cache = make_cache(config.language, compute, count, length)
    logits, cache = Llava(config, compute).apply(
        {"params": params}, batch, cache, method=Llava.prefill
    )
    nothing = jnp.zeros(count, jnp.int32)
    token = sample(logits, limits.sampling, nothing)
    rows = Rows(cache, nothing, batch["lengths"], nothing, limits.most <= 0)
    return _with_token(rows, token, limits)


@partial(jax.jit, static_argnames=("length", "count"))
def grow(rows: Rows, length: int, count: int = 0) -> Rows:
    """The same rows with room for `length` tokens; rows that are done fill them up to `count`."""
    more = max(count - rows.token.shape[0], 0)

    def grown(cache: Array) -> Array:
        room = [(0, 0)] * cache.ndim
        room[-3] = (0, length - cache.shape[-3])
        room[-4] = (0, more)
        return jnp.pad(cache, room)

    cache = jax.tree.map(grown, rows.cache)
    token, read, generated = (
        jnp.pad(a, (0, more)) for a in (rows.token, rows.length, rows.generated)
    )
    done = jnp.pad(rows.done, (0, more), constant_values=True)
    return Rows(cache, token, read, generated, done)


@partial(jax.jit, static_argnames=("config", "compute"), donate_argnames="rows")
def decode(
    config: LlavaConfig,
    compute: Compute,
    params: Any,
    rows: Rows,
    limits: Limits,
    stopped: Bool[Array, " batch"],
    steps: Int[Array, ""],
) -> tuple[Rows, Int[Array, "batch chunk"]]:
    """Generates `steps` tokens (at most CHUNK) a row, fewer when all rows are done before.

    stopped: rows that the caller has ended. Returns the tokens, NOTHING where there is none.
    The cache must have room for them: length + steps.
    """
    model = Llava(config, compute)

    def unfinished(state: tuple[Array, Rows, Array]) -> Array:
        step, rows, _ = state
        return (step < steps) & ~rows.done.all()

    def advance(state: tuple[Array, Rows, Array]) -> tuple[Array, Rows, Array]:
        step, rows, tokens = state
        logits, cache = model.apply(
            {"params": params}, rows.token, rows.length, rows.cache, method=Llava.decode
        )
        token = sample(logits, limits.sampling, rows.generated)
        tokens = tokens.at[:, step].set(jnp.where(rows.done, NOTHING, token))
        read = rows._replace(cache=cache, length=rows.length + ~rows.done)
        return step + 1, _with_token(read, token, limits), tokens

    rows = rows._replace(done=rows.done | stopped)
    tokens = jnp.full((rows.token.shape[0], CHUNK), NOTHING, jnp.int32)
    _, rows, tokens = jax.lax.while_loop(unfinished, advance, (jnp.int32(0), rows, tokens))
    return rows, tokens


def _with_token(rows: Rows, token: Array, limits: Limits) -> Rows:
    """Rows after their next token; those that are done stay as they were."""
    going = ~rows.done
    generated = rows.generated + going
    stops = (token[:, None] == limits.stops).any(axis=-1)
    return Rows(
        cache=rows.cache,
        token=jnp.where(going, token, rows.token),
        length=rows.length,
        generated=generated,
        done=rows.done | stops | (generated >= limits.most),
    )
