"""CHAIR by hand."""

from pathlib import Path

import pytest

from llava_jax.evaluation.benchmarks.benchmark import Benchmark, Question
from llava_jax.evaluation.failures.chair import Chair
from tests.instruct.drawn import drawn_files, scene_of


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    """1: a dog, and an apple that only the caption names; 2: a cat."""
    scenes = [
        scene_of(("dog", 0.2, 0.2), texts=("An apple.",), id="1"),
        scene_of(("cat", 0.2, 0.2), id="2", image="2.jpg"),
    ]
    drawn_files(tmp_path / "set", scenes)
    return Chair().load(tmp_path / "set")


def figures(questions: list[Question], *said: str) -> dict[str, float]:
    answers = {q.id: text for q, text in zip(questions, said, strict=True)}
    score = Chair().score(questions, answers, "strict")
    return {"CHAIR_i": score.overall.value, **{k: t.value for k, t in score.figures.items()}}


def test_mentions_by_hand(questions: list[Question]) -> None:
    assert isinstance(Chair(), Benchmark)
    # a puppy is a dog: 4 mentions in the first, 1 of them (car) hallucinated; 1 in the second
    said = figures(questions, "A puppy, two dogs, an apple and a car.", "A kitten.")
    assert said == {
        "CHAIR_i": 1 / 5,
        "CHAIR_s": 1 / 2,
        "recall": 1,
        "CHAIR_i, exact": 1 / 2,  # "apple" and "car" alone are exact
        "CHAIR_s, exact": 1 / 2,
        "recall, exact": 1 / 3,
    }


def test_who_names_what_is_there_hallucinates_nothing(questions: list[Question]) -> None:
    assert figures(questions, "A dog, an apple.", "A cat.") == {
        **dict.fromkeys(("CHAIR_i", "CHAIR_s", "CHAIR_i, exact", "CHAIR_s, exact"), 0),
        **dict.fromkeys(("recall", "recall, exact"), 1),
    }


def test_who_names_everything_hallucinates_in_each(questions: list[Question]) -> None:
    said = figures(questions, *["A dog, a cat, a car and an apple."] * 2)
    assert (said["CHAIR_i"], said["CHAIR_s"], said["recall"]) == (5 / 8, 1, 1)


def test_who_says_nothing_is_unread(questions: list[Question]) -> None:
    answers = {q.id: "Nothing." for q in questions}
    score = Chair().score(questions, answers, "strict")
    assert (score.overall.value, score.figures["recall"].value, score.invalid) == (0, 0, 2)
