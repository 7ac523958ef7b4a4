"""POPE: is a thing in the image? Half of the answers are no (Li et al., 2023, arXiv 2305.10355)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import read_answers, read_lines
from llava_jax.evaluation.benchmarks.benchmark import (
    SHORT,
    File,
    Mark,
    Mode,
    Question,
    Score,
    required,
)
from llava_jax.evaluation.benchmarks.choices import yes_or_no
from llava_jax.evaluation.statistics import tally
from llava_jax.problems import Problems

SPLITS = ("random", "popular", "adversarial")
_LABELS = "github.com/AoiDragon/POPE, output/coco at commit e3e39262 (LLaVA's published scores)"
_QUESTIONS = "playground/data/eval/pope in LLaVA's eval.zip (docs/Evaluation.md there)"


class Pope:
    """F1 of "yes", its mean over the three splits; questions about COCO val2014 images."""

    name = "pope"
    files = (
        File("llava_pope_test.jsonl", _QUESTIONS),
        *(File(f"coco_pope_{split}.json", _LABELS) for split in SPLITS),
    )

    def load(self, data: Path) -> list[Question]:
        """Labels stand in the order of their split's questions, which is checked row by row."""
        asked, *label_files = required(data, self.files)
        problems = Problems()
        rows = [row for _, row in read_lines(asked, problems)]
        questions = []
        for split, file in zip(SPLITS, label_files, strict=True):
            labels = [row for _, row in read_lines(file, problems)]
            of_split = [row for row in rows if row["category"] == split]
            same = [(r["image"], r["text"].partition("\n")[0]) for r in of_split]
            if same != [(label["image"], label["text"]) for label in labels]:
                raise UserError(f"{file} labels other questions than {asked} asks: take {_LABELS}")
            questions += [
                Question(
                    id=str(row["question_id"]),
                    prompt=label["text"] + SHORT,
                    images=(data / "val2014" / row["image"],),
                    truth=label["label"],
                    cluster=row["image"],
                    groups=(split,),
                )
                for row, label in zip(of_split, labels, strict=True)
            ]
        return questions

    def answers(
        self, path: Path, questions: Sequence[Question], problems: Problems
    ) -> dict[str, str]:
        return read_answers(path, questions, problems)

    def score(self, questions: Sequence[Question], answers: Mapping[str, str], mode: Mode) -> Score:
        marks = [_mark(question, answers[question.id], mode) for question in questions]
        splits = [question.groups[0] for question in questions]
        clusters = [question.cluster for question in questions]

        def counted(chosen: Sequence[str]) -> list[np.ndarray]:
            """For each split three columns: hits, questions said yes, questions that are yes."""
            said = np.array([mark.read == "yes" for mark in marks])
            true = np.array([question.truth == "yes" for question in questions])
            columns = []
            for split in chosen:
                here = np.array([s == split for s in splits])
                columns += [said & true & here, said & here, true & here]
            return columns

        present = [split for split in SPLITS if split in splits]
        yes = [float(mark.read == "yes") for mark in marks]
        return Score(
            "F1",
            tally(clusters, *counted(present), of=_mean_f1),
            {split: tally(clusters, *counted([split]), of=_mean_f1) for split in present},
            tuple(marks),
            {
                "accuracy": tally(clusters, [m.right for m in marks], [1.0] * len(marks)),
                "yes ratio": tally(clusters, yes, [1.0] * len(marks)),
            },
        )

    def submission(
        self, questions: Sequence[Question], answers: Mapping[str, str]
    ) -> dict[str, bytes]:
        return {}


def _mean_f1(sums: np.ndarray) -> np.ndarray | np.floating:
    """The mean over splits, whose columns come in threes; 0 in a split without any yes."""
    hits, said, true = (sums[..., column::3] for column in range(3))
    return (2 * hits / np.maximum(said + true, 1)).mean(axis=-1)


def _mark(question: Question, answer: str, mode: Mode) -> Mark:
    read = _paper(answer) if mode == "paper" else yes_or_no(answer)
    return Mark(question.id, read, float(read == question.truth))


def _paper(answer: str) -> str:
    """The original: "no" if the first sentence holds No, not or no among its words, else "yes"."""
    words = answer.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(words) else "yes"
