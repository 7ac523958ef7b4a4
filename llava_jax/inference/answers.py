"""From generated tokens to the text of an answer."""

from collections.abc import Sequence

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
