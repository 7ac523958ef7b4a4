"""SEED-Bench: four options about images and video frames (Li et al., 2023, arXiv 2307.16125)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.evaluation.answers import read_answers, read_json
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
from llava_jax.evaluation.benchmarks.choices import Choice, lettered, read_letter, with_options
from llava_jax.problems import Problems


class SeedBench:
    """Accuracy by kind of question, on images and on videos.

    A video is shown as its middle frame, SEED-Bench-video-image/KIND_ID.png, as LLaVA's
    extract_video_frames.py writes it.
    """

    name = "seed_bench"
    files = (File("SEED-Bench.json", "huggingface.co/datasets/AILab-CVC/SEED-Bench"),)

    def load(self, data: Path) -> list[Question]:
        (file,) = required(data, self.files)
        with layout(file):
            content = read_json(file)
            kinds = {id: name for name, id in content["question_type"].items()}
            return [
                _question(row, kinds[row["question_type_id"]], data) for row in content["questions"]
            ]

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        """paper: an answer is right if it is the letter and nothing else."""
        marks = []
        for question in questions:
            said, (right, options) = answers[question.id], question.truth
            if mode == "paper":
                read = said if said in options else ""
            else:
                read = read_letter(said, options)
            marks.append(Mark(question.id, read, float(read == right)))
        return accuracy(questions, marks)

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        rows = [{"question_id": q.id, "prediction": answers[q.id]} for q in questions]
        return {"seed_bench.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


def _question(row: dict[str, Any], kind: str, data: Path) -> Question:
    id = str(row["question_id"])
    if row["data_type"] == "video":
        image = data / "SEED-Bench-video-image" / f"{row['question_type_id']}_{id}.png"
    else:
        image = data / "SEED-Bench-image" / row["data_id"]
    options = lettered([row[f"choice_{letter}"] for letter in "abcd"])
    return Question(
        id=id,
        prompt=with_options(row["question"], options) + LETTER,
        images=(image,),
        truth=Choice(row["answer"], options),
        cluster=row["data_id"],
        groups=(row["data_type"], kind),
    )
