"""The compiled programs of inference. Each has one shape, or one for each length of a piece:

`see` makes images tokens, `prefill` and `extend` read a piece of a prompt, `write_row` keeps it,
`admit` starts an answer, `decode` gives every answer one more token and `write` keeps that. What
reads the cache never writes it: XLA would copy it whole.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from llava_jax.inference.sampling import Drawn, RowSampling, sample
from llava_jax.models import cache
from llava_jax.models.cache import Cache
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Batch, Llava, LlavaConfig

NOTHING = -1  # stands where a row that is done gives no token


class Rows(NamedTuple):
    """Answers on their way, one a row.

    token: the newest, which is not in the cache yet. length: tokens in the cache. generated: tokens
    so far, at most `most`. stops: tokens after which it ends, filled up with NOTHING. done: rows
    that generate no more, or never did.
    """

    token: Int[Array, " rows"]
    length: Int[Array, " rows"]
    generated: Int[Array, " rows"]
    most: Int[Array, " rows"]
    stops: Int[Array, "rows stops"]
    sampling: RowSampling
    done: Bool[Array, " rows"]


def no_rows(rows: int, stops: int) -> Rows:
    """Rows without answers."""
    nothing = jnp.zeros(rows, jnp.int32)
    return Rows(
        nothing,
        nothing,
        nothing,
        nothing,
        jnp.full((rows, stops), NOTHING, jnp.int32),
        RowSampling.greedy(rows),
        jnp.ones(rows, bool),
    )


_model = partial(jax.jit, static_argnames=("config", "compute"))


@_model
def see(
    config: LlavaConfig, compute: Compute, params: Any, images: Array
) -> Float[Array, "n image_tokens d"]:
    """What stands in prompts for images uint8 [n, height, width, 3]."""
    batch = {"images": images[:, None]}
    return Llava(config, compute).apply({"params": params}, batch, method=Llava.image_tokens)


@_model
def prefill(
    config: LlavaConfig, compute: Compute, params: Any, piece: Batch
) -> tuple[Float[Array, "batch vocab"], Cache]:
    """Reads prompts from their beginning: logits after their last tokens, keys and values."""
    return Llava(config, compute).apply({"params": params}, piece, method=Llava.prefill)


@_model
def extend(
    config: LlavaConfig,
    compute: Compute,
    params: Any,
    piece: Batch,
    start: Int[Array, " one"],
    cached: Cache,
    row: Int[Array, ""],
) -> tuple[Float[Array, "one vocab"], Cache]:
    """Reads more of one row's prompt, of which `start` tokens are in the cache; as `prefill`."""
    own = cache.take_row(cached, row)
    return Llava(config, compute).apply({"params": params}, piece, start, own, method=Llava.extend)


@partial(jax.jit, donate_argnums=0)
def write_row(cached: Cache, new: Cache, row: Int[Array, ""], start: Int[Array, ""]) -> Cache:
    """The cache with one row's new keys and values from `start` on."""
    return cache.write_row(cached, new, row, start)


@partial(jax.jit, donate_argnums=0)
def write(cached: Cache, new: Cache, start: Int[Array, " rows"]) -> Cache:
    """The cache with a new token's keys and values in every row."""
    return cache.write(cached, new, start)


@partial(jax.jit, donate_argnums=0)
def copy_row(cached: Cache, source: Int[Array, ""], target: Int[Array, ""]) -> Cache:
    """The cache with one row as it stands in another."""
    return cache.write_row(cached, cache.take_row(cached, source), target, jnp.int32(0))


@jax.jit
def admit(
    rows: Rows, row: Int32[Array, ""], logits: Float[Array, "1 vocab"], fresh: Rows
) -> tuple[Rows, Drawn]:
    """The rows with a new answer in one of them, begun by its first token.

    fresh: a single row: its prompt's length, its limits and sampling.
    """
    drawn = sample(logits, fresh.sampling, fresh.generated)
    begun = _with_token(fresh._replace(done=fresh.most <= 0), drawn.token)
    placed = jax.tree.map(lambda all, one: all.at[row].set(one[0]), rows, begun)
    return placed, drawn


@_model
def decode(
    config: LlavaConfig,
    compute: Compute,
    params: Any,
    rows: Rows,
    cached: Cache,
    stopped: Bool[Array, " rows"],
) -> tuple[Rows, Drawn, Cache, Int[Array, " rows"]]:
    """One token more in every row that is not done.

    stopped: rows that the caller has ended. Returns the rows, their tokens (NOTHING where there is
    none), and what is to be written into the cache, and where: of rows that are done to its last
    place, where nothing is ever read.
    """
    rows = rows._replace(done=rows.done | stopped)
    # A row that is done looks at nothing, so that its old length makes nobody wait.
    start = jnp.where(rows.done, 0, rows.length)
    logits, new = Llava(config, compute).apply(
        {"params": params}, rows.token, start, cached, method=Llava.decode
    )
    drawn = sample(logits, rows.sampling, rows.generated)
    token = jnp.where(rows.done, NOTHING, drawn.token)
    read = rows._replace(length=rows.length + ~rows.done)
    place = jnp.where(rows.done, cache.length_of(cached) - 1, rows.length)
    return _with_token(read, drawn.token), drawn._replace(token=token), new, place


def _with_token(rows: Rows, token: Array) -> Rows:
    """Rows after their next token; those that are done stay as they were."""
    going = ~rows.done
    generated = rows.generated + going
    stops = (token[:, None] == rows.stops).any(axis=-1)
    return rows._replace(
        token=jnp.where(going, token, rows.token),
        generated=generated,
        done=rows.done | stops | (generated >= rows.most),
    )


@partial(jax.jit, static_argnames=("config", "compute", "count"))
def greedy(
    config: LlavaConfig, compute: Compute, params: Any, batch: Batch, count: int
) -> Int[Array, "batch count"]:
    """The likeliest `count` tokens after each prompt of a batch (see `Llava.prefill`).

    The plain way, in one program and whatever the tokens are: what others are compared with.
    """
    model = Llava(config, compute)
    logits, read = model.apply({"params": params}, batch, method=Llava.prefill)
    cached = cache.grown(read, count)

    def advance(state: tuple[Array, Array, Cache], _: None) -> tuple[tuple, Array]:
        token, length, cached = state
        logits, new = model.apply({"params": params}, token, length, cached, method=Llava.decode)
        following = jnp.argmax(logits, axis=-1)
        return (following, length + 1, cache.write(cached, new, length)), token

    first = jnp.argmax(logits, axis=-1)
    state = (first, batch["lengths"], cached)
    return jax.lax.scan(advance, state, length=count)[1].T
