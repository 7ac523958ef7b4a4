"""Words that give away that the teacher read symbols in place of the image."""

import re
from collections.abc import Sequence

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.statements import Statement
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "leaks"
_SOURCES = r"captions?|sentences|annotations?|coordinates|bounding box(?:es)?|symbols|metadata"
_GIVEN = r"(?:given|provided|above|following|input|image|original|textual|text|object)"
# Pattern, verdict, and whether a question may not say it either.
_LEAKS: tuple[tuple[str, Verdict, bool], ...] = (
    (r"\bbounding[- ]box(?:es)?\b", "fail", True),
    (r"[\[(]\s*-?\d*\.\d+(?:\s*,\s*-?\d*\.\d+)+\s*[\])]", "fail", True),
    (r"\b(?:object|box|image|pixel|normali[sz]ed|given|provided) coordinates\b", "fail", True),
    (
        rf"\b(?:according to|based on|from|in|by) (?:the|these|its|all|your)(?: {_GIVEN})*"
        rf" (?:{_SOURCES}|descriptions?)\b",
        "fail",
        False,
    ),
    (
        rf"\b(?:the|these|this|one|each|some)(?: {_GIVEN})* (?:{_SOURCES})"
        r" (?:say|state|mention|describe|indicate|suggest|note|specify|tell|refer|show)s?\b",
        "fail",
        False,
    ),
    (
        rf"\b(?:given|provided) (?:{_SOURCES}|descriptions?|information|text|context)\b",
        "fail",
        False,
    ),
    (r"\bas an? (?:AI|language model)\b", "fail", False),
    (r"\b(?:is|are|was|were) (?:described|mentioned|annotated) (?:as|in)\b", "warn", False),
)
_PATTERNS = tuple((re.compile(words, re.IGNORECASE), v, anywhere) for words, v, anywhere in _LEAKS)


def leaks(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Finds talk of captions, boxes and coordinates; a question may ask for a caption."""
    findings = []
    for number, turn in enumerate(turns):
        question = Statement(turn.question, number, "question")
        answer = Statement(turn.answer, number, "answer")
        for pattern, verdict, anywhere in _PATTERNS:
            for statement in (question, answer) if anywhere else (answer,):
                for found in pattern.finditer(statement.text):
                    findings.append(
                        statement.finding(
                            RULE, verdict, *found.span(), "an image has no such source"
                        )
                    )
    return findings
