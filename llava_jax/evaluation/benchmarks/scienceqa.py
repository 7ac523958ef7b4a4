"""ScienceQA: school questions with two to five options (Lu et al., 2022, arXiv 2209.09513)."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import Recorded, joined, read_answers, read_json
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
from llava_jax.evaluation.benchmarks.choices import LETTERS, Choice, read_letter
from llava_jax.problems import Problems

_SUBJECTS = {"natural science": "NAT", "social science": "SOC", "language science": "LAN"}
_RELEASE = "github.com/lupantech/ScienceQA, data/scienceqa"
_GRADES = File("problems.json", f"{_RELEASE} (or id_grade_subject.csv with grade and subject)")


class ScienceQa:
    """Accuracy on the test split by subject, kind of context and grade.

    NAT, SOC, LAN: natural, social and language science. TXT and IMG: with a text or an image as
    context (some have both), NO: with neither. LLaVA-1.5's papers quote IMG.
    """

    name = "scienceqa"
    files = (
        File("llava_test_CQM-A.json", "playground/data/eval/scienceqa in LLaVA's eval.zip"),
        File("pid_splits.json", _RELEASE),
        _GRADES,
    )

    def load(self, data: Path) -> list[Question]:
        asked, splits = required(data, self.files[:2])
        grades, about = _grades(data)
        rows = read_json(asked)
        with layout(splits):
            test = read_json(splits)["test"]
        with layout(asked):
            if {row["id"] for row in rows} != set(test):
                raise UserError(f"{asked} asks other questions than the test split of {splits}")
        with layout(grades):
            return [_question(row, data, *about[row["id"]]) for row in rows]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        """LLaVA's answers, or a result file, whose `results` are the options that its evaluation
        took the `outputs` for.
        """
        if path.suffix != ".json":
            return read_answers(path, questions, problems)
        stored = read_json(path)
        with layout(path):
            found = {
                id: Recorded(stored["outputs"].get(id, ""), int(option))
                for id, option in stored["results"].items()
            }
        return joined(found, questions, path, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        read = _paper if mode == "paper" else read_letter
        marks = []
        for question in questions:
            said = read(answers[question.id], question.truth.options)
            marks.append(Mark(question.id, said, float(said == question.truth.answer)))
        return accuracy(questions, marks)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


def _paper(answer: str, options: Mapping[str, str]) -> str:
    """The original's: what a result file recorded, else its rules for words.

    Their "The answer is X." takes any character for the period. An answer that they do not read
    was drawn at random among the options by early versions (in a result file the draw stands) and
    is wrong in later ones, as here.
    """
    if isinstance(answer, Recorded):
        return LETTERS[answer.taken] if 0 <= answer.taken < len(options) else ""
    if answer in options:
        return answer
    if answer[1:3] == ". " and answer[0] in LETTERS:
        letter = answer[0]
    else:
        named = re.findall("The answer is ([A-Z]).", answer)
        letter = named[0] if len(named) == 1 else ""
    return letter if letter in options else ""


def _grades(data: Path) -> tuple[Path, dict[str, tuple[str, int]]]:
    """The file that tells, and subject and grade by question id."""
    table = data / "id_grade_subject.csv"
    if table.exists() and not (data / _GRADES.path).exists():
        with layout(table), table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
            return table, {r["question_id"]: (r["subject"], int(r["grade"])) for r in rows}
    (problems,) = required(data, [_GRADES])
    with layout(problems):
        return problems, {
            id: (problem["subject"], int(problem["grade"].removeprefix("grade")))
            for id, problem in read_json(problems).items()
        }


def _question(row: dict[str, Any], data: Path, subject: str, grade: int) -> Question:
    asked, told = (turn["value"] for turn in row["conversations"])
    words = asked.replace("<image>", "").strip()
    groups = [_SUBJECTS[subject]]
    groups += ["TXT"] * words.startswith("Context: ") + ["IMG"] * ("image" in row)
    groups += ["NO"] * (len(groups) == 1) + ["G1-6" if grade <= 6 else "G7-12"]
    return Question(
        id=row["id"],
        prompt=words + LETTER,
        images=(data / "images" / "test" / row["image"],) if "image" in row else (),
        truth=Choice(told, _options(words)),
        cluster=row["id"],
        groups=tuple(groups),
    )


def _options(words: str) -> dict[str, str]:
    """The options, which end the question: from the last line with an A on (one may span lines)."""
    start = max(found.start() for found in re.finditer(r"^A\. ", words, re.MULTILINE))
    parts = re.split(r"^([A-E])\. ", words[start:], flags=re.MULTILINE)[1:]
    return {letter: text.strip() for letter, text in zip(parts[::2], parts[1::2], strict=True)}
