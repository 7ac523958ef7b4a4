"""Runs prefill and decode to their end over a batch."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from llava_jax.inference import generate
from llava_jax.inference.sampling import SamplingParams, stack


def limits_of(
    rows: int,
    most: int | Sequence[int],
    stops: Sequence[int] = (generate.NOTHING,),
    sampling: Sequence[SamplingParams] | None = None,
) -> generate.Limits:
    """Greedy unless told otherwise, and without stop tokens."""
    return generate.Limits(
        stack(sampling or [SamplingParams()] * rows),
        jnp.broadcast_to(jnp.asarray(most, jnp.int32), rows),
        jnp.tile(jnp.asarray(stops, jnp.int32), (rows, 1)),
    )


def run(
    model: tuple[Any, Any, Any],
    batch: dict[str, Any],
    limits: generate.Limits,
    *,
    steps: int = 5,
    room: int = 64,
) -> list[list[int]]:
    """Tokens of each row, generated in chunks of `steps`. model: config, compute, params."""
    state = generate.grow(generate.prefill(*model, batch, limits), room)
    chunks, stopped = [np.asarray(state.token)[:, None]], np.zeros(len(limits.most), bool)
    while not state.done.all():
        state, tokens = generate.decode(*model, state, limits, stopped, np.int32(steps))
        chunks.append(np.asarray(tokens))
    tokens = np.concatenate(chunks, axis=1)
    return [row[row != generate.NOTHING].tolist() for row in tokens]
