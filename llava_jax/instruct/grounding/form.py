"""Malformed turns: what a parser let through that no one would say."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.statements import Statement
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "form"
LONG = 6  # words from which two equal answers are no chance
_LOOPS = 3  # the same sentence so often is a loop

_BROKEN: tuple[tuple[str, Verdict, str], ...] = (
    (r"={3,}|#{3,}|-{5,}|\bQuestion ?:|\bAnswer ?:|</?s>|<\|\w+\|>|<image>", "fail", "a separator"),
    (r"(?m)^ *(?:human|gpt|user|assistant|system|teacher) ?:", "fail", "a role"),
    (r"[^\S\r\n\t ]{2,}|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]", "fail", "no printing character"),
    (r"```|\{\{|\}\}|\[(?:insert|name|object|your)[^\]]*\]", "fail", "a template"),
)
_PATTERNS = tuple((re.compile(words, re.IGNORECASE), v, why) for words, v, why in _BROKEN)
_ASKS = re.compile(
    r"^(?:what|how|which|who|whose|where|when|why|is|are|does|do|can|could|was|were)\b",
    re.IGNORECASE,
)
_HANGING = re.compile(r"(?:,|\b(?:the|a|an|and|or|of|in|on|with|to|is|are|that|which))\s*$")
_END = re.compile(r"[.!?:;)\]}\"”'\u2019*`…]\s*$")


def form(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Finds empty, repeated, looping and cut-off turns, and separators and roles inside them."""
    findings: list[Finding] = []
    for number, turn in enumerate(turns):
        question = Statement(turn.question, number, "question")
        answer = Statement(turn.answer, number, "answer")
        findings += [*_broken(question), *_broken(answer), *_ending(question, answer)]
        earlier = turns[:number]
        if _plain(turn.question) in {_plain(other.question) for other in earlier}:
            findings.append(_whole(question, "fail", "the same question as before"))
        long = len(turn.answer.split()) >= LONG
        if long and _plain(turn.answer) in {_plain(other.answer) for other in earlier}:
            findings.append(_whole(answer, "fail", "the same answer as before"))
    return findings


def _broken(statement: Statement) -> Iterator[Finding]:
    if not statement.text.strip():
        yield _whole(statement, "fail", "empty")
    for pattern, verdict, why in _PATTERNS:
        for found in pattern.finditer(statement.text):
            yield statement.finding(RULE, verdict, *found.span(), f"{why} inside")
    said = Counter(re.findall(r"\w[^.!?\n]{15,}[.!?]", statement.text))
    if said and max(said.values()) >= _LOOPS:
        yield _whole(statement, "fail", "the same sentence again and again")


def _ending(question: Statement, answer: Statement) -> Iterator[Finding]:
    open_end = len(re.findall(r"[.!?]\s", answer.text)) > 0 and not _END.search(answer.text)
    if open_end or _HANGING.search(answer.text):
        yield _whole(answer, "warn", "it ends inside a sentence")
    if _ASKS.search(question.text) and "?" not in question.text:
        yield _whole(question, "warn", "a question without its mark")


def _whole(statement: Statement, verdict: Verdict, evidence: str) -> Finding:
    return statement.finding(RULE, verdict, 0, len(statement.text), evidence)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
