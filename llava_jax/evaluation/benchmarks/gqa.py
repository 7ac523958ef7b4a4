"""GQA: questions made of scene graphs (Hudson and Manning, 2019, arXiv 1902.09506)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.evaluation.answers import read_answers, read_json
from llava_jax.evaluation.benchmarks.benchmark import (
    SHORT,
    File,
    Mark,
    Mode,
    Question,
    Score,
    accuracy,
    layout,
    required,
)
from llava_jax.problems import Problems


class Gqa:
    """Accuracy on testdev-balanced: open and binary questions, by structure and by meaning."""

    name = "gqa"
    files = (
        File(
            "testdev_balanced_questions.json",
            "questions1.2.zip at cs.stanford.edu/people/dorarad/gqa/download.html",
        ),
    )

    def load(self, data: Path) -> list[Question]:
        (file,) = required(data, self.files)
        with layout(file):
            return [_question(id, row, data) for id, row in read_json(file).items()]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """paper: LLaVA's conversion (lower case, periods at the end go), then the official exact
        match. strict: white space around the answer goes, too.
        """
        marks = []
        for question in questions:
            said = _prediction(answers[question.id])
            said = said if mode == "paper" else said.strip().rstrip(".")
            marks.append(Mark(question.id, said, float(said == question.truth)))
        return accuracy(questions, marks)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        """What the official eval.py reads."""
        rows = [{"questionId": q.id, "prediction": _prediction(answers[q.id])} for q in questions]
        return {"testdev_balanced_predictions.json": json.dumps(rows).encode()}


def _prediction(answer: str) -> str:
    return answer.rstrip(".").lower()


def _question(id: str, row: dict[str, Any], data: Path) -> Question:
    structure, meaning = row["types"]["structural"], row["types"]["semantic"]
    return Question(
        id=id,
        prompt=row["question"] + SHORT,
        images=(data / "images" / f"{row['imageId']}.jpg",),
        truth=row["answer"],
        cluster=row["imageId"],
        groups=("open" if structure == "query" else "binary", structure, meaning),
    )
