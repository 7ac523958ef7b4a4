"""Continuous batching: answers of many requests grow together, a token a step.

A fixed number of slots, each a row of one cache: a prompt takes a free one, is read piece by piece
between the steps of the others, and leaves it when its answer ends. All shapes are fixed, so all
programs are compiled before the first request.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int64

from llava_jax import partition
from llava_jax.inference import programs
from llava_jax.inference.answers import Prompt, Token, Writing
from llava_jax.inference.placement import empty_cache
from llava_jax.inference.programs import NOTHING, Rows
from llava_jax.inference.sampling import Drawn, SamplingParams, stack
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Batch, LlavaConfig
from llava_jax.sharding import replicated


@dataclass(frozen=True)
class Shapes:
    """What is compiled.

    slots: answers that grow at a time. piece: tokens of a prompt that are read at a time; whole
    pieces are reused by prompts that begin the same. shortest: a prompt's last piece is padded to
    a multiple of this. stops: tokens that may end an answer. room: tokens of a prompt and
    its answer, which a slot keeps memory for; 0: as many as the model reads.
    """

    slots: int = 8
    piece: int = 256  # a v5e multiplies 240 tokens while it reads the weights: 197 T/s, 0.82 TB/s
    shortest: int = 32
    stops: int = 4
    room: int = 0

    def __post_init__(self) -> None:
        if self.slots < 2:  # a product with a single row takes a slow path on a CPU
            raise ValueError("at least two slots")
        if self.piece % self.shortest:
            raise ValueError(f"a piece of {self.piece} is no multiple of {self.shortest}")

    @property
    def lengths(self) -> tuple[int, ...]:
        """Of a prompt's last piece; the longest is that of every other."""
        return tuple(range(self.shortest, self.piece + 1, self.shortest))


@dataclass
class _Slot:
    """A row of the cache. held: identities of the prompt's tokens in it, whole pieces alone.

    used: when it was last given away, by the count of admissions.
    """

    held: Int64[np.ndarray, "tokens 2"]
    writing: Writing | None = None
    used: int = 0

    @property
    def free(self) -> bool:
        return self.writing is None or self.writing.done


@dataclass
class _Reading:
    """A prompt that is being read into a slot. read: tokens of it that are in the cache."""

    slot: int
    writing: Writing
    read: int


class _News(NamedTuple):
    """Tokens that the device has been told to draw, and whose they are, by row."""

    writings: list[Writing | None]
    drawn: Drawn


class Scheduler:
    """Runs writings to their end, a `step` at a time; one thread steps, any may submit."""

    def __init__(
        self,
        config: LlavaConfig,
        compute: Compute,
        params: partition.Params,
        shapes: Shapes,
        mesh: Mesh | None = None,
    ):
        """mesh: over which the parameters lie; None: on one device."""
        self._config, self._compute, self._params, self._shapes = config, compute, params, shapes
        self._room = shapes.room or config.language.max_length
        # In whole pieces, and with a last place that nobody reads.
        length = (self._room // shapes.piece + 1) * shapes.piece
        self._cache = empty_cache(config, compute, shapes.slots, length, mesh)
        rows = programs.no_rows(shapes.slots, shapes.stops)
        self._rows = rows if mesh is None else jax.device_put(rows, replicated(mesh))
        nothing = np.zeros((0, 2), np.int64)
        self._slots = [_Slot(nothing) for _ in range(shapes.slots)]
        self._waiting: deque[Writing] = deque()
        self._reading: _Reading | None = None
        self._news: deque[_News] = deque()
        self._admitted = 0

    def submit(self, writing: Writing) -> None:
        """Puts an answer into the queue."""
        needed = len(writing.prompt.tokens) + writing.prompt.most
        if needed > self._room:
            raise ValueError(f"{needed} tokens do not fit into {self._room}")
        self._waiting.append(writing)

    @property
    def waiting(self) -> int:
        """Answers that have no slot yet."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Answers that have a slot."""
        return sum(not slot.free for slot in self._slots)

    def step(self, pieces: int = 1) -> bool:
        """Reads some pieces of prompts and gives each answer a token; False: nothing to do.

        The device is told of a step before the tokens of the last are looked at, so that it never
        waits for the host.

        pieces: at most. With few the answers keep flowing; with many the slots are soon full, and
        all answers together are done sooner.
        """
        for _ in range(pieces):
            if self._reading is None or self._reading.writing.done:
                self._reading = self._next_reading()
            if self._reading is None:
                break
            self._read_piece(self._reading)
        decoding = self._decode()
        if not decoding:  # or the pieces of a long prompt would all be on the device at once
            jax.block_until_ready(self._cache)
        while len(self._news) > decoding:
            self._deliver(self._news.popleft())
        return bool(decoding or self._reading or self._waiting)

    def warm_up(self, progress: Callable[[int, int], None]) -> None:
        """Compiles every program; nothing may be active. progress: programs done, and in all."""
        lengths, width = self._shapes.lengths, self._config.language.width
        for number, length in enumerate(lengths):
            progress(number, len(lengths) + 1)
            tokens = np.zeros(length, np.int32)
            images = np.zeros((0, width), self._compute.dtype)
            piece = _piece(tokens, np.full(length, -1, np.int32), images, length)
            for start in (0, self._shapes.piece):
                logits = self._read(piece, 0, start)
        progress(len(lengths), len(lengths) + 1)
        fresh = self._fresh(1, 1, (), SamplingParams())
        self._rows, _ = programs.admit(self._rows, np.int32(0), logits, fresh)
        self._cache = programs.copy_row(self._cache, np.int32(0), np.int32(1))
        self._run_decode(np.ones(self._shapes.slots, bool))
        jax.block_until_ready(self._cache)
        progress(len(lengths) + 1, len(lengths) + 1)

    def _next_reading(self) -> _Reading | None:
        """The longest waiting prompt in a free slot, begun where the cache ends to know it."""
        free = [number for number, slot in enumerate(self._slots) if slot.free]
        while self._waiting and self._waiting[0].done:
            self._waiting.popleft()
        if not free or not self._waiting:
            return None
        writing = self._waiting.popleft()
        known = [self._common(slot.held, writing.prompt) for slot in self._slots]
        source = int(np.argmax(known))
        # Its own row where that is free, else the one that was not used for longest.
        target = min(free, key=lambda n: (known[n] < known[source], self._slots[n].used))
        if known[target] < known[source]:
            self._cache = programs.copy_row(self._cache, np.int32(source), np.int32(target))
        self._admitted += 1
        held = writing.prompt.identities[: known[source]]
        self._slots[target] = _Slot(held, writing, self._admitted)
        return _Reading(target, writing, known[source])

    def _common(self, held: np.ndarray, prompt: Prompt) -> int:
        """How much of a prompt a slot knows, in whole pieces; its last token is always read."""
        most = min(len(held), len(prompt.tokens) - 1)
        same = (held[:most] == prompt.identities[:most]).all(axis=1)
        count = most if same.all() else int(np.argmin(same))
        return count // self._shapes.piece * self._shapes.piece

    def _read_piece(self, reading: _Reading) -> None:
        prompt, slot = reading.writing.prompt, self._slots[reading.slot]
        end = min(reading.read + self._shapes.piece, len(prompt.tokens))
        here = slice(reading.read, end)
        length = next(n for n in self._shapes.lengths if n >= end - reading.read)
        piece = _piece(prompt.tokens[here], prompt.image_slots[here], prompt.image_tokens, length)
        logits = self._read(piece, reading.slot, reading.read)
        reading.read = end
        slot.held = prompt.identities[: end // self._shapes.piece * self._shapes.piece]
        if end == len(prompt.tokens):
            fresh = self._fresh(end, prompt.most, prompt.ends, prompt.sampling)
            self._rows, drawn = programs.admit(self._rows, np.int32(reading.slot), logits, fresh)
            self._news.append(_News([reading.writing], drawn))
            self._reading = None

    def _read(self, piece: Batch, slot: int, start: int) -> jax.Array:
        """Reads one piece into the cache; the logits after it."""
        model = (self._config, self._compute, self._params)
        if start == 0:
            logits, new = programs.prefill(*model, piece)
        else:
            place = np.array([start], np.int32)
            logits, new = programs.extend(*model, piece, place, self._cache, np.int32(slot))
        self._cache = programs.write_row(self._cache, new, np.int32(slot), np.int32(start))
        return logits

    def _fresh(self, length: int, most: int, ends: Sequence[int], way: SamplingParams) -> Rows:
        """A row that has read a prompt of that length and drawn nothing yet."""
        stops = np.full((1, self._shapes.stops), NOTHING, np.int32)
        stops[0, : len(ends)] = ends
        return Rows(
            token=np.zeros(1, np.int32),
            length=np.array([length], np.int32),
            generated=np.zeros(1, np.int32),
            most=np.array([most], np.int32),
            stops=stops,
            sampling=stack([way]),
            done=np.zeros(1, bool),
        )

    def _decode(self) -> bool:
        """Tells the device to draw a token for each answer that is past its prompt, if any is."""
        reading = self._reading.writing if self._reading else None
        writings = [
            None if slot.free or slot.writing is reading else slot.writing for slot in self._slots
        ]
        if not any(writings):
            return False
        drawn = self._run_decode(np.array([writing is None for writing in writings]))
        self._news.append(_News(writings, drawn))
        return True

    def _run_decode(self, stopped: np.ndarray) -> Drawn:
        model = (self._config, self._compute, self._params)
        self._rows, drawn, new, place = programs.decode(*model, self._rows, self._cache, stopped)
        self._cache = programs.write(self._cache, new, place)
        return drawn

    def _deliver(self, news: _News) -> None:
        asked = any(w is not None and w.prompt.sampling.logprobs for w in news.writings)
        drawn = jax.device_get(news.drawn if asked else Drawn(news.drawn.token, None, None, None))
        for row, writing in enumerate(news.writings):
            if writing is not None and drawn.token[row] != NOTHING:
                writing.push(_token(drawn, row, writing.prompt.sampling.logprobs))


def _token(drawn: Drawn, row: int, logprobs: bool) -> Token:
    if not logprobs:
        return Token(int(drawn.token[row]))
    others = zip(drawn.others[row].tolist(), drawn.other_logprobs[row].tolist(), strict=True)
    return Token(int(drawn.token[row]), float(drawn.logprob[row]), tuple(others))


def _piece(
    tokens: np.ndarray, image_slots: np.ndarray, image_tokens: np.ndarray, length: int
) -> Batch:
    """Some of a prompt as a batch of one row, padded at the right; its images' tokens in place."""
    count, is_image = len(tokens), image_slots >= 0
    piece = {
        "tokens": np.zeros((1, length), np.int32),
        "image_slots": np.full((1, length), -1, np.int32),
        "image_tokens": np.zeros((1, length, image_tokens.shape[-1]), image_tokens.dtype),
        "lengths": np.array([count], np.int32),
    }
    piece["tokens"][0, :count] = tokens
    piece["image_slots"][0, :count] = np.where(is_image, np.arange(count), image_slots)
    piece["image_tokens"][0, :count][is_image] = image_tokens[image_slots[is_image]]
    return piece
