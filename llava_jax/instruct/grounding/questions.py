"""Questions that the image cannot answer, and questions that need no image."""

import re
from collections.abc import Iterator, Sequence

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.language import sentences
from llava_jax.instruct.grounding.statements import Statement
from llava_jax.instruct.grounding.words import words_of
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "questions"
_TELL = r"(?:\w+ly )?(?:tell|say|determine|know|identify|answer)"
_UNANSWERED = re.compile(
    r"\b(?:can(?:no|')?t be (?:\w+ly )?(?:determined|known|inferred|identified|answered)|"
    r"(?:is|are|was) ?(?:not|n't) (?:mentioned|specified|stated)|"
    rf"(?:not possible|impossible|unable) to {_TELL}|(?:i|we|one|you) can(?:no|')?t {_TELL}|"
    r"(?:it is|it's) (?:unclear|not clear|unknown)|unanswerable|"
    r"(?:image|picture|photo|scene) (?:does not|doesn't) (?:\w+ly )?"
    r"(?:mention|specify|state|provide|say|tell|indicate)|"
    r"no (?:information|mention|details?) (?:about|of|on|regarding))\b",
    re.IGNORECASE,
)
# What points at an image: a thing that both see, or the image itself.
_POINTERS = words_of(
    """
    the this that these those there here it its they them he his she her him you image picture
    photo photograph scene shown visible seen see i
    """
)
_LEADING = re.compile(
    r",? (?:(?:is|are|was|does|do|did)n['\u2019]t (?:it|there|they|he|she)|right|correct)\?\s*$|"
    r"^(?:is|are|does|do|was)n['\u2019]t\b",
    re.IGNORECASE,
)

_EMPTY = words_of(
    """
    the a an is are was were be to of in on at and it its this that there with image picture
    photo scene yes no
    """
)
_CHOICE = re.compile(r"\bor\b", re.IGNORECASE)


def questions(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Fails answers that only refuse; warns of refusals with more, and of what needs no image.

    A question needs none if its answer repeats it, if it points at nothing in the image, or if it
    leads to its answer.
    """
    findings: list[Finding] = []
    for number, turn in enumerate(turns):
        findings += _unanswered(Statement(turn.answer, number, "answer"))
        question = Statement(turn.question, number, "question")
        for evidence in _blind(turn):
            findings.append(question.finding(RULE, "warn", 0, len(turn.question), evidence))
    return findings


def _unanswered(answer: Statement) -> Iterator[Finding]:
    """A refusal that is all of the answer fails; where a guess follows, a person should look."""
    only = len(re.findall(r"[.!?](?=\s|$)", answer.text)) <= 1
    for found in _UNANSWERED.finditer(answer.text):
        verdict: Verdict = "fail" if only else "warn"
        evidence = "the question has no certain answer"
        yield answer.finding(RULE, verdict, *found.span(), evidence)


def _blind(turn: Turn) -> Iterator[str]:
    """Why a question can be answered without the image; nothing where it cannot."""
    asked, answered = _words(turn.question), _words(turn.answer)
    if asked.isdisjoint(_POINTERS) and turn.question.strip().endswith("?"):
        yield "it points at nothing in the image"
    told = answered - _EMPTY
    if told and told <= asked and not _CHOICE.search(turn.question):
        yield "its answer only repeats it"
    if _LEADING.search(turn.question):
        yield "it leads to its answer"


def _words(text: str) -> set[str]:
    return {word for sentence in sentences(text) for word in sentence.words if word[0].isalnum()}
