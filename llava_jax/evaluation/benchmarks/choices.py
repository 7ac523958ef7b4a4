"""Questions with few possible answers: lettered options, yes or no."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

LETTERS = "ABCDE"


class Choice(NamedTuple):
    """The right letter, and the options' words by letter."""

    answer: str
    options: Mapping[str, str]


def lettered(options: Sequence[str]) -> dict[str, str]:
    return dict(zip(LETTERS, options, strict=False))


def with_options(question: str, options: Mapping[str, str]) -> str:
    """The question and a line for each option."""
    return "\n".join([question, *(f"{letter}. {words}" for letter, words in options.items())])


def read_letter(answer: str, options: Mapping[str, str]) -> str:
    """The option that an answer names: by its letter alone, else by a leading "B. ", else by the
    only "The answer is B." in it; "" where none of these holds.
    """
    answer = answer.strip()
    if answer in options:
        return answer
    if answer[1:3] == ". " and answer[0] in options:
        return answer[0]
    named = re.findall(r"The answer is ([A-Z])\.", answer)
    return named[0] if len(named) == 1 and named[0] in options else ""


def yes_or_no(answer: str) -> str:
    """The first word, if it is yes or no; anything else says neither."""
    first = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
    return first.group(1).lower() if first else ""
