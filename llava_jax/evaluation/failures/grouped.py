"""Questions that count only together: both orders of the options, a pair of images, a quad.

A single right answer proves little: half are right by chance and more by habit ("yes", "A"). So a
unit is right only if all of its questions are.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import ascii_uppercase

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import read_answers
from llava_jax.evaluation.benchmarks.benchmark import (
    LETTER,
    File,
    Mark,
    Mode,
    Question,
    Score,
    accuracy,
    required,
)
from llava_jax.evaluation.statistics import Tally, ratio, tally
from llava_jax.problems import Problems

YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Asked:
    """A question's truth.

    answer: the right one of `options`, which stand as the prompt lists them; lettered: by A, B, ...
    units: figure -> the unit that the question belongs to there.
    """

    answer: str
    units: Mapping[str, str]
    options: tuple[str, ...] = YES_NO
    lettered: bool = False


def rotated(question: Question, options: Sequence[str], units: Mapping[str, str]) -> list[Question]:
    """The question with its options, the right one first, under A, B, ... in every rotation.

    For two options these are both orders. The ids get the number of the rotation.
    """
    asked = []
    for turn in range(len(options)):
        order = (*options[turn:], *options[:turn])
        asked.append(
            replace(
                question,
                id=f"{question.id}/{turn}",
                prompt=lettered(question.prompt, order),
                truth=Asked(options[0], units, order, lettered=True),
            )
        )
    return asked


def lettered(prompt: str, options: Sequence[str]) -> str:
    """The prompt with the options under A, B, ... and LLaVA-1.5's request for a letter."""
    lines = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, options, strict=False)]
    return "\n".join([prompt, *lines]) + LETTER


def read(asked: Asked, answer: str) -> str:
    """The option that an answer chooses; "" where it is none or not one alone.

    Yes and no: the first word. Options: the letter that it begins with or consists of, else the
    only one that it names in full.
    """
    if asked.options == YES_NO:
        first = re.match(r"\W*(yes|no)\b", answer, re.IGNORECASE)
        return first.group(1).lower() if first else ""
    letter = re.match(r"\W*([a-z])(?=\W*$|[.):,])", answer, re.IGNORECASE)
    if asked.lettered and letter:
        place = ascii_uppercase.index(letter.group(1).upper())
        return asked.options[place] if place < len(asked.options) else ""
    named = [option for option in asked.options if len(option) > 1 and _names(answer, option)]
    return named[0] if len(named) == 1 else ""


def _names(answer: str, option: str) -> bool:
    return bool(re.search(rf"\b{re.escape(option.strip(' .'))}\b", answer, re.IGNORECASE))


@dataclass(frozen=True)
class Grouped:
    """A benchmark of such questions, whose `truth` is `Asked`.

    metric: the figure of its headline and of its categories. make: questions of the data folder.
    gaps: figure -> two groups: the first's accuracy less the second's. paper: how the original
    reads; without a published reading of texts the two modes are the same.
    """

    name: str
    files: tuple[File, ...]
    metric: str
    make: Callable[[Path], Iterable[Question]]
    gaps: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    paper: Callable[[Asked, str], str] = read

    def load(self, data: Path) -> list[Question]:
        required(data, self.files)
        try:
            questions = list(self.make(data))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{data} does not hold {self.name} in its public layout ({error!r}): download "
                + "; ".join(f"{file.path} from {file.source}" for file in self.files)
            ) from error
        if not questions:
            raise UserError(f"nothing in {data} can be asked about as {self.name} does")
        return questions

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        reading = self.paper if mode == "paper" else read
        marks = []
        for question in questions:
            said = reading(question.truth, answers[question.id])
            marks.append(Mark(question.id, said, float(said == question.truth.answer)))
        names = list(dict.fromkeys(name for q in questions for name in q.truth.units))
        figures = {name: together(questions, marks, name) for name in names}
        gaps = {name: _gap(questions, marks, groups) for name, groups in self.gaps.items()}
        return Score(
            self.metric,
            figures.pop(self.metric),
            dict(_by_group(questions, marks, self.metric)),
            tuple(marks),
            {"single answers": accuracy(questions, marks).overall}
            | figures
            | {name: gap for name, gap in gaps.items() if gap},
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


def together(questions: Sequence[Question], marks: Sequence[Mark], figure: str) -> Tally:
    """The share of a figure's units all of whose answers are right."""
    clusters: dict[str, str] = {}
    right: dict[str, float] = {}
    for question, mark in zip(questions, marks, strict=True):
        unit = question.truth.units.get(figure)
        if unit is not None:
            clusters.setdefault(unit, question.cluster)
            right[unit] = min(right.get(unit, 1.0), mark.right)
    return tally(list(clusters.values()), list(right.values()), [1.0] * len(right))


def _by_group(
    questions: Sequence[Question], marks: Sequence[Mark], metric: str
) -> Iterator[tuple[str, Tally]]:
    """The metric in each group; single answers in groups that it does not count."""
    members: dict[str, list[int]] = {}
    for number, question in enumerate(questions):
        for group in question.groups:
            members.setdefault(group, []).append(number)
    for group, chosen in members.items():
        asked, given = [questions[n] for n in chosen], [marks[n] for n in chosen]
        counted = any(metric in question.truth.units for question in asked)
        yield group, together(asked, given, metric) if counted else accuracy(asked, given).overall


def _gap(
    questions: Sequence[Question], marks: Sequence[Mark], groups: tuple[str, str]
) -> Tally | None:
    """The first group's accuracy less the second's; None where one of them is empty."""
    columns: list[np.ndarray] = []
    for group in groups:
        members = np.array([float(group in question.groups) for question in questions])
        columns += [members * [mark.right for mark in marks], members]
    if not (columns[1].any() and columns[3].any()):
        return None
    return tally([question.cluster for question in questions], *columns, of=_difference)


def _difference(sums: np.ndarray) -> np.ndarray | np.floating:
    return ratio(sums[..., :2]) - ratio(sums[..., 2:])
