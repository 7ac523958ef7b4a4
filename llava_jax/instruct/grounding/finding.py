"""What a check says of a response."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

# "fail": the scene contradicts the claim. "warn": something a person should look at. "unknown": a
# claim was read that the scene neither supports nor contradicts. "pass": the scene supports it.
Verdict = Literal["pass", "unknown", "warn", "fail"]


@dataclass(frozen=True)
class Span:
    """Characters [start, end) of a turn's question or answer."""

    turn: int
    part: Literal["question", "answer"]
    start: int
    end: int


@dataclass(frozen=True)
class Finding:
    """One claim that a rule judged; `evidence` says in words what of the scene decided it."""

    rule: str
    verdict: Verdict
    span: Span
    text: str  # the span's own words, or what they state together with the question
    evidence: str


# A rule reads all turns of one response and judges every claim of its sort that it finds.
Rule = Callable[[Scene, Sequence[Turn]], list[Finding]]
