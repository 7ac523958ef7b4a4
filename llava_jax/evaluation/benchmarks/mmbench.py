"""MMBench: options asked in every rotation (Liu et al., 2023, arXiv 2307.06281)."""

import csv
import io
import re
import sys
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import openpyxl

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import joined, read_answers
from llava_jax.evaluation.benchmarks.benchmark import (
    LETTER,
    File,
    Mark,
    Mode,
    Question,
    Score,
    accuracy,
    layout,
    required,
)
from llava_jax.evaluation.benchmarks.choices import read_letter, with_options
from llava_jax.evaluation.statistics import Tally, tally
from llava_jax.problems import Problems

_ROTATION = 1_000_000  # added to the index of a question each time its options are rotated
_CATEGORIES = ("l2-category", "category")
_NOT_SUBMITTED = ("hint", *_CATEGORIES, "source", "image", "comment")
_CHINESE_LETTER = "\n请直接回答选项字母。"


class MmBench:
    """Accuracy where a question is right if it is right in every rotation of its options.

    The file holds the rotations as questions of their own, each of which gets a mark. The truth is
    the file's row without its image.
    """

    def __init__(self, name: str, stem: str, suffix: str):
        self.name = name
        self._file = File(f"{stem}.tsv", "download.openmmlab.com/mmclassification/datasets/mmbench")
        self._suffix = suffix

    @property
    def files(self) -> tuple[File, ...]:
        return (self._file,)

    def load(self, data: Path) -> list[Question]:
        (path,) = required(data, self.files)
        csv.field_size_limit(sys.maxsize)  # images are fields
        with layout(path), path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
            images = {row["index"]: row.pop("image") for row in rows}
            return [self._question(row, images) for row in rows]

    def _question(self, row: dict[str, str], images: Mapping[str, str]) -> Question:
        image = images[row["index"]]
        if image in images:  # the row's image is that of another one
            image = images[image]
        hint = "" if _is_none(row["hint"]) else row["hint"] + "\n"
        return Question(
            id=row["index"],
            prompt=with_options(hint + row["question"], _options(row)) + self._suffix,
            images=(b64decode(image),),
            truth=row,
            cluster=str(int(row["index"]) % _ROTATION),
            groups=tuple(row[column] for column in _CATEGORIES if column in row),
        )

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """LLaVA's answers, or the "prediction" column of a table as it is submitted (xlsx)."""
        if path.suffix != ".xlsx":
            return read_answers(path, questions, problems)
        try:
            sheet = openpyxl.load_workbook(path, read_only=True).active
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise UserError(f"{path} cannot be read ({error}): give an xlsx file") from error
        with layout(path):
            header, *rows = sheet.iter_rows(values_only=True)
            index, said = header.index("index"), header.index("prediction")
            found = {str(row[index]): str(row[said]) for row in rows if row[said] is not None}
        return joined(found, questions, path, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        if not all(question.truth.get("answer") for question in questions):
            raise UserError(
                f"{self._file.path} holds no answers: send the submission file to MMBench's server"
            )
        read = _paper if mode == "paper" else read_letter
        marks = []
        for question in questions:
            said = read(answers[question.id], _options(question.truth))
            marks.append(Mark(question.id, said, float(said == question.truth["answer"])))
        each = accuracy(questions, marks)
        groups = list(dict.fromkeys(group for question in questions for group in question.groups))
        return Score(
            "accuracy in all rotations",
            _circular(questions, marks),
            {group: _circular(questions, marks, group) for group in groups},
            tuple(marks),
            {"accuracy of single rotations": each.overall},
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """The columns that LLaVA submits, the prediction as the seventh."""
        columns = [name for name in questions[0].truth if name not in _NOT_SUBMITTED]
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet()
        sheet.append([*columns[:6], "prediction", *columns[6:]])
        for question in questions:
            cells: list[str | int | None] = [question.truth[name] or None for name in columns]
            cells[columns.index("index")] = int(question.id)
            sheet.append([*cells[:6], answers[question.id], *cells[6:]])
        content = io.BytesIO()
        book.save(content)
        return {f"{self._file.path.removesuffix('.tsv')}.xlsx": content.getvalue()}


MMBENCH = MmBench("mmbench", "mmbench_dev_20230712", LETTER)
MMBENCH_CN = MmBench("mmbench_cn", "mmbench_dev_cn_20231003", _CHINESE_LETTER)


def _circular(
    questions: Sequence[Question], marks: Sequence[Mark], group: str | None = None
) -> Tally:
    right: dict[str, float] = {}
    for question, mark in zip(questions, marks, strict=True):
        if group is None or group in question.groups:
            right[question.cluster] = min(right.get(question.cluster, 1.0), mark.right)
    return tally(list(right), list(right.values()), [1.0] * len(right))


def _paper(answer: str, options: Mapping[str, str]) -> str:
    """The official matching: the only option whose letter is a word of the answer (an A among more
    than three words may be an article and is none), else the only one whose words it contains.

    The server asks ChatGPT about the rest, and draws at random where that fails; here it is wrong.
    """
    spaced = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
    letters = [letter for letter in options if letter in spaced]
    if len(letters) == 1 and not ("A" in letters and len(spaced) > 3):
        return letters[0]
    said = answer.lower()
    held = [letter for letter, text in options.items() if text.lower() in said]
    too_long = len(said) > 2 * sum(map(len, options.values()))
    return held[0] if len(held) == 1 and not too_long else ""


def _options(row: Mapping[str, str]) -> dict[str, str]:
    """Up to the first that is missing."""
    options = {}
    for letter in "ABCD":
        if _is_none(row[letter]):
            break
        options[letter] = row[letter]
    return options


def _is_none(field: str) -> bool:
    return field.lower() in ("", "nan", "none")
