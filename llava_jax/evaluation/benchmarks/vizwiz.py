"""VizWiz: blind people's questions about their own photos (Gurari et al., 2018, 1802.08218)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.evaluation.answers import read_answers, read_json
from llava_jax.evaluation.benchmarks import vqa
from llava_jax.evaluation.benchmarks.benchmark import (
    SHORT,
    File,
    Mode,
    Question,
    Score,
    layout,
    required,
)
from llava_jax.problems import Problems

_UNANSWERABLE = "\nWhen the provided information is insufficient, respond with 'Unanswerable'."


class VizWiz:
    """VQA accuracy on val, whose answers are public, by kind of answer ("unanswerable" is one).

    Published figures are of test: without val.json the questions of test.json are loaded, for the
    server. An id is the name of the image; LLaVA's answers have its number.
    """

    name = "vizwiz"
    files = (File("val.json", "Annotations.zip at vizwiz.org/tasks-and-datasets/vqa"),)

    def load(self, data: Path) -> list[Question]:
        file = data / "test.json"
        if (data / "val.json").exists() or not file.exists():
            (file,) = required(data, self.files)
        with layout(file):
            return [_question(row, data / file.stem) for row in read_json(file)]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        stem = questions[0].id.rpartition("_")[0]
        return read_answers(path, questions, problems, lambda id, row: f"{stem}_{id.zfill(8)}.jpg")

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        return vqa.vqa_score(questions, answers, _paper if mode == "paper" else vqa.strict)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        rows = [{"image": q.id, "answer": vqa.upload(answers[q.id])} for q in questions]
        return {"vizwiz.json": json.dumps(rows).encode()}


def _question(row: dict[str, Any], images: Path) -> Question:
    people = [answer["answer"] for answer in row["answers"]] if "answers" in row else None
    return Question(
        id=row["image"],
        prompt=row["question"] + _UNANSWERABLE + SHORT,
        images=(images / row["image"],),
        truth=people,
        cluster=row["image"],
        groups=(row["answer_type"],) if people else (),
    )


def _paper(answer: str, people: Sequence[str]) -> tuple[str, Sequence[str]]:
    """LLaVA's upload as the server reads it: people's answers stay as they were typed."""
    return vqa.official(vqa.upload(answer)), people
