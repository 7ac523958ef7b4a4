"""From generated tokens to the text of an answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int32, Int64

from llava_jax.inference.sampling import SamplingParams
from llava_jax.text.tokenizer import StreamDecoder, Tokenizer


class AnswerText:
    """The text of one answer, given out piece by piece as its tokens arrive.

    It ends before the first stop string, wherever that lies among the tokens, and has no white
    space at either end. What may yet turn out to belong to a stop string is held back, so the
    pieces joined are the whole text, however the tokens came.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]):
        self._decoder = StreamDecoder(tokenizer)
        self._stops = stops
        self._held = ""
        self.text = ""
        self.stopped = False  # by a stop string

    def push(self, token: int) -> str:
        """The text that this token makes certain."""
        return "" if self.stopped else self._take(self._decoder.push(token))

    def finish(self) -> str:
        """What was held back, once no more tokens come."""
        return "" if self.stopped else self._take(self._decoder.flush(), last=True)

    def _take(self, text: str, last: bool = False) -> str:
        self._held += text
        found = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            certain = min(found)
        else:
            certain = len(self._held) - (0 if last else self._possible_stop())
        piece = self._held[:certain].rstrip()
        self._held = self._held[len(piece) :]
        if not self.text:
            piece = piece.lstrip()
        self.text += piece
        return piece

    def _possible_stop(self) -> int:
        """How many characters at the end could be the beginning of a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0


@dataclass(frozen=True)
class Prompt:
    """A request made ready.

    tokens: of the prompt, with the places of its images. identities: what each of them is, equal
    only for equal tokens and equal parts of equal images: what a cache is searched by.
    image_slots: which of `image_tokens` stands at each place, as in `Llava`'s batch.
    most: tokens that may be generated. ends: tokens that end the answer.
    """

    tokens: Int32[np.ndarray, " length"]
    identities: Int64[np.ndarray, "length 2"]
    image_slots: Int32[np.ndarray, " length"]
    image_tokens: Float[np.ndarray, "slots d"]
    sampling: SamplingParams
    most: int
    ends: tuple[int, ...]


@dataclass(frozen=True)
class Token:
    """A generated token; its log-probability and the likeliest others', where asked for."""

    id: int
    logprob: float = 0.0
    others: tuple[tuple[int, float], ...] = ()


class Writing:
    """An answer on its way: what the scheduler adds to, and whoever asked reads.

    Both may be threads of their own: text and tokens only grow, and `done` is set last.
    """

    def __init__(
        self, prompt: Prompt, text: AnswerText, notify: Callable[["Writing"], None] | None = None
    ):
        """notify: called after every change, by the scheduler's thread."""
        self.prompt, self.text = prompt, text
        self.tokens: list[Token] = []
        self.ended: Literal["", "stop", "length", "cancelled"] = ""
        self._notify = notify

    @property
    def done(self) -> bool:
        return bool(self.ended)

    def push(self, token: Token) -> None:
        """Takes the next token; what comes after the end is left out."""
        if self.done:
            return
        self.tokens.append(token)
        self.text.push(token.id)
        if self.text.stopped or token.id in self.prompt.ends:
            self._end("stop")
        elif len(self.tokens) >= self.prompt.most:
            self._end("length")
        elif self._notify:
            self._notify(self)

    def cancel(self) -> None:
        """Ends it here: nobody waits for the rest."""
        if not self.done:
            self._end("cancelled")

    def _end(self, how: Literal["stop", "length", "cancelled"]) -> None:
        self.text.finish()
        self.ended = how
        if self._notify:
            self._notify(self)
