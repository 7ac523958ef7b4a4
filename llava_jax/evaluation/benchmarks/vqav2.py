"""VQAv2: open questions about COCO images (Goyal et al., 2017, arXiv 1612.00837)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

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

_SOURCE = "visualqa.org/download.html"
_ANNOTATIONS = "v2_mscoco_val2014_annotations.json"


def _asked(split: str) -> str:
    return f"v2_OpenEnded_mscoco_{split}_questions.json"


class VqaV2:
    """VQA accuracy on val2014, whose answers are public.

    Published figures are of test-dev: without val2014's files the questions of test2015 or else of
    test-dev2015 are loaded, for the server. It wants all of test2015, with "" where it does not
    score, so answers to test-dev alone can be submitted with the questions of test2015.
    """

    name = "vqav2"
    files = (File(_asked("val2014"), _SOURCE), File(_ANNOTATIONS, _SOURCE))

    def load(self, data: Path) -> list[Question]:
        for split in ("test2015", "test-dev2015"):
            if (data / _asked(split)).exists() and not (data / _ANNOTATIONS).exists():
                return _questions(data, split, {})
        _, annotations = required(data, self.files)
        with layout(annotations):
            rows = read_json(annotations)["annotations"]
            told = {
                row["question_id"]: (row["answer_type"], [a["answer"] for a in row["answers"]])
                for row in rows
            }
        return _questions(data, "val2014", told)

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        return vqa.vqa_score(questions, answers, _paper if mode == "paper" else vqa.strict)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        rows = [{"question_id": int(q.id), "answer": vqa.upload(answers[q.id])} for q in questions]
        return {"vqav2.json": json.dumps(rows).encode()}


def _questions(data: Path, split: str, told: Mapping[int, tuple[str, list[str]]]) -> list[Question]:
    folder = split.replace("-dev", "")
    questions = []
    with layout(data / _asked(split)):
        for row in read_json(data / _asked(split))["questions"]:
            kind, people = told[row["question_id"]] if told else ("", None)
            questions.append(
                Question(
                    id=str(row["question_id"]),
                    prompt=row["question"] + SHORT,
                    images=(data / folder / f"COCO_{folder}_{row['image_id']:012}.jpg",),
                    truth=people,
                    cluster=str(row["image_id"]),
                    groups=(kind,) if kind else (),
                )
            )
    return questions


def _paper(answer: str, people: Sequence[str]) -> tuple[str, Sequence[str]]:
    """LLaVA's upload as the server reads it: the answer is written twice the official way, people's
    only lose their punctuation, and not even that where all say the same.
    """
    said = vqa.official(vqa.upload(answer))
    return said, [vqa.punctuation(p) for p in people] if len(set(people)) > 1 else people
