"""MM-Vet: the official evaluator's grades, and grades of a judge."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.benchmarks.mm_vet import MmVet
from llava_jax.problems import Problems
from llava_jax.remote.answer import Answer
from llava_jax.remote.prompt import Prompt
from tests.evaluation.benchmarks.layouts import write_answers, write_json


def small_set(folder: Path) -> list[Question]:
    rows = [("x?", "-1<AND>-5", ["ocr", "math"]), ("who?", "a man", ["rec"]), ("y?", "2", ["ocr"])]
    content = {
        f"v1_{n}": {"imagename": f"v1_{n}.png", "question": q, "answer": a, "capability": c}
        for n, (q, a, c) in enumerate(rows)
    }
    write_json(folder / "mm-vet.json", content)
    return MmVet().load(folder)


def test_grades_of_the_official_evaluator(tmp_path: Path) -> None:
    benchmark, questions = MmVet(), small_set(tmp_path)
    grades = {
        "v1_0": {"model": ["gpt-4"] * 2, "content": ["0.5", "1.0"], "score": [0.5, 1.0]},
        "v1_1": {"model": ["gpt-4"] * 2, "content": ["I am", "sorry"], "score": [0.0, 0.0]},
        "v1_2": {"model": ["gpt-4"] * 2, "content": ["0.4\n", "0.2"], "score": [0.4, 0.2]},
    }
    file = write_json(tmp_path / "llava_gpt-4-grade-2runs.json", grades)
    answers = benchmark.answers(file, questions, Problems())
    paper, strict = (benchmark.score(questions, answers, mode) for mode in ("paper", "strict"))
    assert paper.overall.value == pytest.approx((0.75 + 0 + 0.3) / 3)
    assert strict.overall.value == pytest.approx((0.75 + 0.3) / 2)
    assert (paper.invalid, strict.invalid) == (0, 1)
    assert {name: t.value for name, t in paper.categories.items()} == pytest.approx(
        {
            **{"math": 0.75, "ocr": 0.525, "math+ocr": 0.75},
            **{"rec": 0, "rec alone": 0, "ocr alone": 0.3},
        }
    )
    assert benchmark.submission(questions, answers) == {}


def test_a_judge_grades_and_is_asked_once_more(tmp_path: Path) -> None:
    benchmark, questions = MmVet(), small_set(tmp_path)
    file = write_answers(tmp_path / "a.jsonl", {0: "-1 | 5", 2: "three", 1: "a boy"})
    answers = benchmark.answers(file, questions, Problems())
    assert json.loads(benchmark.submission(questions, answers)["mm_vet.json"]) == answers
    with pytest.raises(UserError, match="scored by grades"):
        benchmark.score(questions, answers, "paper")
    asked = []

    def ask(prompts: Sequence[Prompt]) -> list[Answer]:
        asked.append(prompts)
        replies = {1: ["0.5", "Well, 7", "1.1"], 2: ["0.3 of 1", "no"]}[len(asked)]
        return [Answer("", text=text) for text in replies]

    grades = benchmark.grade(questions, answers, ask)
    assert "-1 <AND> -5" in asked[0][0].messages[0].content
    assert "-1 | 5" in asked[0][0].messages[0].content
    assert [prompt.repeat for prompt in asked[1]] == [1, 1]
    paper, strict = (benchmark.score(questions, grades, mode) for mode in ("paper", "strict"))
    assert [mark.right for mark in paper.marks] == [0.5, 0.3, 0.0]
    assert [mark.read for mark in strict.marks] == ["0.50", "0.30", ""]
    assert strict.overall.value == pytest.approx(0.4)
    assert strict.categories["ocr alone"].value == 0
