"""What the turns state, each as a whole sentence with the place it was read at.

A short answer says half a sentence and its question holds the other half: "How many dogs are
there?" "Two." states that there are two dogs. Put together once here, every rule reads it alike.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from llava_jax.instruct.grounding.finding import Finding, Span, Verdict
from llava_jax.instruct.turns import Turn


@dataclass(frozen=True)
class Statement:
    """Text that a turn states.

    presupposed: it is a question, which states only what it takes for granted.
    within: where the text stands in the turn, if it is put together from question and answer.
    """

    text: str
    turn: int
    part: Literal["question", "answer"]
    within: tuple[int, int] | None = None

    @property
    def presupposed(self) -> bool:
        return self.part == "question"

    def finding(
        self, rule: str, verdict: Verdict, start: int, end: int, evidence: str, text: str = ""
    ) -> Finding:
        """A finding of characters [start, end) of the text."""
        span = Span(self.turn, self.part, *(self.within or (start, end)))
        return Finding(rule, verdict, span, text or self.text[start:end], evidence)


_YES_NO = r"(?P<answer>yes|no)\b.*"
_IN_IMAGE = r"(?: (?:in|on) (?:the|this) (?:image|picture|photo|scene))?"
_SIDE = r"(?P<one>(?:to the |on the )?(?:left|right)|above|below)(?: of)?"


def _presence(found: re.Match[str]) -> str:
    thing = found["thing"]
    if found["answer"].lower() == "yes":
        return f"There is {thing}."
    return f"There is no {re.sub(r'^(?:an?|any|some) ', '', thing)}."


def _sided(found: re.Match[str]) -> str:
    side = found["answer"].lower().removeprefix("to the ").removeprefix("on the ").strip()
    where = f"to the {side} of" if side in ("left", "right") else side
    return f"The {found['subject']} is {where} the {found['other']}."


def _neighbour(found: re.Match[str]) -> str:
    side = found["one"].lower().removeprefix("to the ").removeprefix("on the ")
    where = f"to the {side} of" if side in ("left", "right") else side
    return f"{found['answer']} is {where} the {found['other']}."


# A question and the first sentence of its answer, with " -> " between them.
_FORMS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (
        rf"(?:is|are) there (?P<thing>(?:an? |any |some )?[\w -]+)\? -> {_YES_NO}",
        _presence,
    ),
    (rf"(?:can|do) you see (?P<thing>(?:an? |any |some )?[\w -]+)\? -> {_YES_NO}", _presence),
    (
        r"how many (?P<thing>[\w -]+?) (?:are|is|can be|can you|do you) "
        r"(?P<rest>[\w -]*)\? -> (?:there (?:is|are) )?(?:only |exactly )?(?P<answer>\w+)\.?",
        lambda m: f"There are {m['answer'].lower()} {m['thing']} {_whole(m['rest'])}.",
    ),
    (
        rf"what (?:is the )?colou?r (?:is|are|of) the (?P<thing>[\w -]+?){_IN_IMAGE}\? -> "
        r"(?P<answer>\w+(?: and \w+)?)\.?",
        lambda m: f"The {m['thing']} is {m['answer'].lower()}.",
    ),
    (
        rf"what is {_SIDE} the (?P<other>[\w -]+?){_IN_IMAGE}\? -> "
        r"(?P<answer>(?:an?|the) [\w -]+)\.?",
        _neighbour,
    ),
    (
        r"is the (?P<subject>[\w -]+?) (?:(?:to|on) the (?:left|right)|above|below)(?: of)?"
        r"(?: the [\w -]+?)? or (?:(?:to|on) the (?:left|right) of|above|below) "
        rf"the (?P<other>[\w -]+?){_IN_IMAGE}\? -> "
        r"(?P<answer>(?:(?:to|on) the )?(?:left|right)|above|below)(?: of [\w -]+)?\.?",
        _sided,
    ),
    (
        r"(?P<verb>is|are) (?P<subject>the [\w -]+?) "
        r"(?P<said>(?:to the (?:left|right) of|above|below) the [\w -]+)\? -> yes\b.*",
        lambda m: f"{m['subject']} {m['verb'].lower()} {m['said']}.",
    ),
)
_READERS = tuple((re.compile(form, re.IGNORECASE), restated) for form, restated in _FORMS)
_FIRST_SENTENCE = re.compile(r"\s*(.+?)(?:(?<=[.!?])(?=\s)|\n|$)", re.DOTALL)


def _whole(rest: str) -> str:
    """What restricts a count: "on the couch"; "there" and "visible" do not."""
    rest = re.sub(r"^(?:there|visible|see|seen|present|shown|be seen)\b ?", "", rest.strip())
    return rest or "in the image"


@lru_cache(maxsize=1024)
def statements(turns: tuple[Turn, ...]) -> tuple[Statement, ...]:
    """What the turns state, in order: each question, each answer, and what both state together."""
    read = []
    for number, turn in enumerate(turns):
        read.append(Statement(turn.question, number, "question"))
        restated = restate(turn)
        if restated:
            start, end = _first_sentence(turn.answer)
            read.append(Statement(restated, number, "answer", (start, end)))
        read.append(Statement(turn.answer, number, "answer"))
    return tuple(read)


def restate(turn: Turn) -> str:
    """The question and the first sentence of its answer as one statement; "" where it is none."""
    question = " ".join(turn.question.split())
    start, end = _first_sentence(turn.answer)
    pair = f"{question} -> {turn.answer[start:end]}"
    for reader, restated in _READERS:
        if found := reader.fullmatch(pair):
            words = " ".join(restated(found).split())
            return words[:1].upper() + words[1:]
    return ""


def _first_sentence(answer: str) -> tuple[int, int]:
    found = _FIRST_SENTENCE.match(answer)
    return found.span(1) if found else (0, 0)


def read_statements(turns: Sequence[Turn]) -> tuple[Statement, ...]:
    """`statements` of any sequence of turns."""
    return statements(tuple(turns))
