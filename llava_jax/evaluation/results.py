"""What answers to a benchmark are worth, in both modes, beside no sight and another model."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark, Mark, Mode, Question, Score
from llava_jax.evaluation.benchmarks.published import PUBLISHED
from llava_jax.evaluation.statistics import (
    Interval,
    Tally,
    detectable_difference,
    difference_interval,
    interval,
    mcnemar,
)
from llava_jax.problems import Problems

MODES: tuple[Mode, ...] = ("paper", "strict")


@dataclass(frozen=True)
class Answered:
    """A benchmark's questions and a model's answers to them.

    blind: the same model's answers to grey images. other: another model's, from the file
    `other_name`. problems: of the files that the answers are from. aside: why further questions
    were not asked, by id. unscored: why there can be no score yet, "" if there can.
    """

    benchmark: Benchmark
    questions: Sequence[Question]
    answers: Mapping[str, str]
    problems: Problems
    blind: Mapping[str, str] | None = None
    other: Mapping[str, str] | None = None
    other_name: str = ""
    aside: Mapping[str, str] = field(default_factory=dict)
    unscored: str = ""


@dataclass(frozen=True)
class Result:
    """Scores of what was answered. scores: by mode; none, and `void` says why, where the answers
    cannot be scored here.
    """

    answered: Answered
    mode: Mode
    scores: Mapping[Mode, Score]
    blind: Score | None
    other: Score | None
    void: str

    @property
    def marks(self) -> Sequence[Mark]:
        """In the mode that is reported, one a question, in their order."""
        return self.scores[self.mode].marks if self.scores else ()


def score(answered: Answered, mode: Mode) -> Result:
    """mode: the one that is reported; the other stands beside it."""

    def worth(answers: Mapping[str, str] | None, mode: Mode) -> Score | None:
        if answers is None:
            return None
        return answered.benchmark.score(answered.questions, answers, mode)

    if answered.unscored:
        return Result(answered, mode, {}, None, None, answered.unscored)
    try:
        scores = {
            m: answered.benchmark.score(answered.questions, answered.answers, m) for m in MODES
        }
        blind, other = worth(answered.blind, mode), worth(answered.other, mode)
    except UserError as error:
        return Result(answered, mode, {}, None, None, str(error))
    return Result(answered, mode, scores, blind, other, scores[mode].void)


def entry(result: Result) -> dict[str, Any]:
    """The benchmark's part of report.json; figures in percent, or in points where they say so."""
    answered, name = result.answered, result.answered.benchmark.name
    known = {"name": name, "mode": result.mode, "void": result.void, "n": len(answered.questions)}
    bad = {"problems": asdict(answered.problems), "set_aside": dict(answered.aside)}
    if not result.scores:
        return known | {"overall": None, "categories": {}, "figures": {}, "invalid": 0} | bad
    own = result.scores[result.mode]
    scale = scale_of(own.metric)
    return (
        known
        | {
            "metric": own.metric,
            "unit": "percent" if scale == 100 else "points",
            "overall": None if result.void else _figure(own.overall, scale, len(own.marks)),
            "categories": {
                category: _figure(sums, scale, _asked(answered.questions, category))
                for category, sums in own.categories.items()
            },
            "figures": {
                figure: _figure(sums, scale_of(figure), len(own.marks))
                for figure, sums in own.figures.items()
            },
            "invalid": own.invalid,
            "detectable_difference": scale * detectable_difference(own.overall),
            "blind": _blind(own, result.blind, scale),
            "compared": _compared(own, result.other, answered.other_name, scale),
            "other_mode": _other_mode(result, scale),
            "disagreements": disagreements(result),
            "published": PUBLISHED.get(name, {}),
        }
        | bad
    )


def scale_of(figure: str) -> float:
    """What a figure of this name is multiplied with to be shown: shares become percent."""
    return 1.0 if "points" in figure else 100.0


def disagreements(result: Result) -> list[dict[str, str]]:
    """Questions whose answer the two modes read or judge differently."""
    paper, strict = (result.scores[mode].marks for mode in MODES)
    return [
        {"question": p.question, "paper": p.read, "strict": s.read}
        for p, s in zip(paper, strict, strict=True)
        if p != s
    ]


def _figure(sums: Tally, scale: float, n: int) -> dict[str, float | int]:
    return _scaled(interval(sums), scale) | {"n": n}


def _scaled(of: Interval, scale: float) -> dict[str, float]:
    return {name: scale * number for name, number in asdict(of).items()}


def _asked(questions: Sequence[Question], category: str) -> int:
    return sum(category in question.groups for question in questions)


def _blind(own: Score, blind: Score | None, scale: float) -> dict[str, Any] | None:
    """What is reached without sight, and what sight adds."""
    if blind is None:
        return None
    return {
        "overall": scale * blind.overall.value,
        "categories": {name: scale * sums.value for name, sums in blind.categories.items()},
        "above_blind": _scaled(difference_interval(own.overall, blind.overall), scale),
    }


def _compared(own: Score, other: Score | None, name: str, scale: float) -> dict[str, Any] | None:
    """Against another model on the same questions. Graded answers: the better one is right."""
    if other is None:
        return None
    pairs = [(a.right, b.right) for a, b in zip(own.marks, other.marks, strict=True)]
    wins, losses = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    return {
        "answers": name,
        "overall": scale * other.overall.value,
        "difference": _scaled(difference_interval(own.overall, other.overall), scale),
        "only_this_right": wins,
        "only_other_right": losses,
        "mcnemar_p": mcnemar(wins, losses),
        "detectable_difference": scale * detectable_difference(own.overall, other.overall),
    }


def _other_mode(result: Result, scale: float) -> dict[str, Any]:
    (mode,) = (mode for mode in MODES if mode != result.mode)
    score = result.scores[mode]
    overall = None if score.void else scale * score.overall.value
    return {"mode": mode, "overall": overall, "invalid": score.invalid, "void": score.void}
