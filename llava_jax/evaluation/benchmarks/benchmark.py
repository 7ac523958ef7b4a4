"""What a benchmark is: questions from its public files, and what answers to them are worth."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from llava_jax.errors import UserError
from llava_jax.evaluation.statistics import Tally, tally
from llava_jax.problems import Problems

# "paper": what the original's scripts compute, their quirks included. "strict": ours, where each
# answer is read by stated rules, and one that they do not read is wrong.
Mode = Literal["paper", "strict"]

# Suffixes of LLaVA-1.5's prompts.
SHORT = "\nAnswer the question using a single word or phrase."
LETTER = "\nAnswer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Question:
    """One thing that a model is asked.

    id: unique within the benchmark; joins answers. prompt: all its words, without an image marker.
    images: files, or their bytes where the benchmark's file holds them. truth: what the benchmark's
    scorer compares with. cluster: what it shares with other questions, mostly the image. groups:
    the categories that it counts in. crop: x, y, width, height in pixels of what is shown of them.
    """

    id: str
    prompt: str
    images: tuple[Path | bytes, ...]
    truth: Any
    cluster: str
    groups: tuple[str, ...] = ()
    crop: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Mark:
    """How one answer was read and what it is worth. read: "" where no rule reads it."""

    question: str
    read: str
    right: float


@dataclass(frozen=True)
class Score:
    """metric: what the figures are, e.g. "accuracy", in percent unless it says otherwise.

    marks: one a question, in their order. figures: further ones by name ("yes ratio", ...).
    void: a sentence why `overall` must not be shown as a result; "" if it may.
    """

    metric: str
    overall: Tally
    categories: Mapping[str, Tally]
    marks: tuple[Mark, ...]
    figures: Mapping[str, Tally]
    void: str = ""

    @property
    def invalid(self) -> int:
        return sum(not mark.read for mark in self.marks)


@dataclass(frozen=True)
class File:
    """A file or folder of a benchmark, by its path in the data folder, and where it is got."""

    path: str
    source: str


@runtime_checkable
class Benchmark(Protocol):
    """One benchmark. `load` and `answers` raise UserError for files that are missing or not its."""

    @property
    def name(self) -> str: ...

    @property
    def files(self) -> tuple[File, ...]: ...

    def load(self, data: Path) -> list[Question]:
        """All questions, in the order of the public file."""
        ...

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """Stored answers by question id; what cannot be joined is noted in `problems`."""
        ...

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """What answers are worth; every question must have one."""
        ...

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """Files by name for the official server; none where there is no server."""
        ...


def required(data: Path, files: Sequence[File]) -> list[Path]:
    """The files' paths in the data folder.

    Raises UserError that names all missing ones, what to download and where to put it.
    """
    missing = [file for file in files if not (data / file.path).exists()]
    if missing:
        lines = [f"  {data / file.path}: {file.source}" for file in missing]
        raise UserError(
            "\n".join(["these files are missing; download and put them there:", *lines])
        )
    return [data / file.path for file in files]


@contextmanager
def layout(path: Path) -> Iterator[None]:
    """Inside, a key or value that a public file lacks is a UserError about that file."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is not laid out as its release is ({type(error).__name__}: {error}): "
            "download it again"
        ) from error


def refuse_hidden(questions: Sequence[Question]) -> None:
    """UserError where the truth is known to the benchmark's server only."""
    if any(question.truth is None for question in questions):
        raise UserError(
            "the truth about these questions is not public: send the submission file to the "
            "benchmark's server"
        )


def accuracy(questions: Sequence[Question], marks: Sequence[Mark]) -> Score:
    """The share of right answers, over all and in each group of the questions."""
    groups = list(dict.fromkeys(group for question in questions for group in question.groups))
    return Score(
        "accuracy",
        _share(questions, marks),
        {group: _share(*_of_group(questions, marks, group)) for group in groups},
        tuple(marks),
        {},
    )


def _of_group(
    questions: Sequence[Question], marks: Sequence[Mark], group: str
) -> tuple[list[Question], list[Mark]]:
    chosen = [n for n, question in enumerate(questions) if group in question.groups]
    return [questions[n] for n in chosen], [marks[n] for n in chosen]


def _share(questions: Sequence[Question], marks: Sequence[Mark]) -> Tally:
    clusters = [question.cluster for question in questions]
    return tally(clusters, [mark.right for mark in marks], [1.0] * len(marks))
