"""Reads free answers: which of the possible words do they claim, and is that the truth."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from llava_jax.evaluation.probes import Probe
from llava_jax.instruct.nouns import NUMBERS, plural

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("man", "woman", "boy", "girl", "child", "men", "women", "children"),
    "airplane": ("plane", "aeroplane", "aircraft"),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike",),
    "boat": ("sailboat", "ship"),
    "bus": ("coach",),
    "cat": ("kitten",),
    "clock": ("alarm clock",),
    "couch": ("sofa",),
    "cow": ("bull",),
    "dog": ("puppy",),
    "donut": ("doughnut",),
    "rabbit": ("bunny",),
    "tv": ("television",),
    "gray": ("grey",),
    "purple": ("violet",),
    "zero": ("0", "none"),
} | {word: (str(value),) for value, word in enumerate(NUMBERS) if value}


@dataclass(frozen=True)
class Verdict:
    """What an answer claims, out of the probe's choices (less what the question gave away)."""

    claimed: frozenset[str]
    truth: frozenset[str]

    @property
    def parsed(self) -> bool:
        return bool(self.claimed)

    @property
    def hits(self) -> int:
        return len(self.claimed & self.truth)

    @property
    def correct(self) -> bool:
        return self.claimed == self.truth


def score(probe: Probe, answer: str) -> Verdict:
    """Presence is read from the first word and a count from its first number; the rest from all
    choices named anywhere: naming a second thing besides the right one is wrong.

    Where the probe has a cue, only the sentences with it are read, wherever they stand: so an
    answer is the same before its reasoning and after it.
    """
    if probe.cue:
        cue = re.compile(rf"\b{probe.cue}\b", re.IGNORECASE)
        answer = " ".join(said for said in re.split(r"[.!?:;]", answer) if cue.search(said))
    if probe.figure == "presence":
        claimed = words_in(first_word(answer), probe.choices)
    elif probe.figure == "count":
        claimed = words_in(answer, probe.choices)[:1]
    else:
        claimed = [word for word in words_in(answer, probe.choices) if word not in probe.given]
    return Verdict(frozenset(claimed), frozenset(probe.truth))


def first_word(answer: str) -> str:
    found = re.search(r"\w+", answer)
    return found.group() if found else ""


def words_in(text: str, choices: Iterable[str]) -> list[str]:
    """The choices that the text names, in its order, by word, plural or synonym; longest first,
    so that a hot dog is no dog.
    """
    spellings, pattern = _spellings(tuple(choices))
    return [spellings[found.lower()] for found in pattern.findall(text)]


@cache
def _spellings(choices: tuple[str, ...]) -> tuple[dict[str, str], re.Pattern[str]]:
    """How each choice may be spelt, and the pattern that finds any of them as whole words."""
    spellings: dict[str, str] = {}
    for choice in choices:
        for name in (choice, *SYNONYMS.get(choice, ())):
            for spelling in (name, plural(name)):
                spellings.setdefault(spelling, choice)
    for choice in choices:
        spellings[choice] = choice  # a choice's own name wins over another's synonym
    longest_first = sorted(spellings, key=len, reverse=True)
    body = "|".join(re.escape(spelling) for spelling in longest_first)
    return spellings, re.compile(rf"\b(?:{body})\b", re.IGNORECASE)
