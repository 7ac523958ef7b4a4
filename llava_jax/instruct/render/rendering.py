"""What a renderer gives back, and the budget of tokens that its lines share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The teacher's tokenizer is unknown: four characters of English are about one token.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Rendered:
    """A scene's text, and what the budget left no room for: "12 of 40 objects", ..."""

    text: str
    left_out: tuple[str, ...] = ()


def estimated_tokens(text: str) -> int:
    """About how many tokens a teacher counts in it."""
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


class Budget:
    """Hands out room to the lines of one text, first come, first served; remembers who got none.

    tokens: at most so many by `estimated_tokens` of the lines joined; None: as many as there are.
    """

    def __init__(self, tokens: int | None) -> None:
        self._room = math.inf if tokens is None else tokens * CHARACTERS_PER_TOKEN
        self.left_out: list[str] = []

    def fit(self, lines: Sequence[str], things: str, heading: str = "") -> list[str]:
        """The lines that find room, in their order: the most informative come first.

        Nothing is taken after the first that does not fit, and no heading without a line.
        heading: a line before them ("Objects:"). things: what one line is, in the plural.
        """
        room = self._room - (len(heading) + 1 if heading else 0)
        taken: list[str] = []
        for line in lines:
            room -= len(line) + 1
            if room < 0:
                break
            taken.append(line)
            self._room = room
        if len(taken) < len(lines):
            self.left_out.append(f"{len(lines) - len(taken)} of {len(lines)} {things}")
        return [heading, *taken] if heading and taken else taken

    def rendered(self, lines: Sequence[str]) -> Rendered:
        """The text of the lines that were taken."""
        return Rendered("\n".join(lines), tuple(self.left_out))
