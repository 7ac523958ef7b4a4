"""GQA and SEED-Bench in their layouts: exact matches."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.gqa import Gqa
from llava_jax.evaluation.benchmarks.seed_bench import SeedBench
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_answers, write_json


def test_gqa(tmp_path: Path) -> None:
    benchmark = Gqa()
    rows = {
        "201": ("n1", "What is it?", "hill", "query", "obj"),
        "202": ("n1", "Is it red?", "no", "verify", "attr"),
        "203": ("n2", "What is that?", "dog", "query", "obj"),
    }
    content = {
        id: {
            "imageId": image,
            "question": question,
            "answer": answer,
            "types": {"structural": structure, "semantic": meaning},
        }
        for id, (image, question, answer, structure, meaning) in rows.items()
    }
    write_json(tmp_path / "testdev_balanced_questions.json", content)
    questions = benchmark.load(tmp_path)
    assert questions[2].images == (tmp_path / "images" / "n2.jpg",)
    file = write_answers(tmp_path / "a.jsonl", {"203": " Dog", "201": "Hill.", "202": "no way"})
    answers = benchmark.answers(file, questions, Problems())
    paper, strict = (benchmark.score(questions, answers, mode) for mode in ("paper", "strict"))
    assert [mark.right for mark in paper.marks] == [1, 0, 0]
    assert [mark.right for mark in strict.marks] == [1, 0, 1]
    assert {name: t.value for name, t in strict.categories.items()} == {
        **{"open": 1, "query": 1, "obj": 1},
        **{"binary": 0, "verify": 0, "attr": 0},
    }
    assert strict.overall.sums.tolist() == [[1, 2], [1, 1]]  # by image
    upload = benchmark.submission(questions, answers)["testdev_balanced_predictions.json"]
    assert json.loads(upload)[0] == {"questionId": "201", "prediction": "hill"}
    again = tmp_path / "testdev_balanced_predictions.json"
    again.write_bytes(upload)
    assert benchmark.answers(again, questions, Problems())["202"] == "no way"


def test_another_file_in_gqas_place(tmp_path: Path) -> None:
    write_json(tmp_path / "testdev_balanced_questions.json", {"201": {"question": "What?"}})
    with pytest.raises(UserError, match=r"not laid out as its release is \(KeyError"):
        Gqa().load(tmp_path)


def test_seed_bench(tmp_path: Path) -> None:
    benchmark = SeedBench()
    choices = {f"choice_{letter}": f"{letter} thing" for letter in "abcd"}
    asked = [
        ("101", "image", "14_25", 1, "A"),
        ("102", "image", "14_26", 1, "C"),
        ("v7", "video", "9.webm", 10, "D"),
    ]
    content = {
        "question_type": {"Scene Understanding": 1, "Action Recognition": 10},
        "questions": [
            {
                "question_id": id,
                "data_type": data_type,
                "data_id": data_id,
                "question_type_id": kind,
                "question": "Which?",
                "answer": answer,
                **choices,
            }
            for id, data_type, data_id, kind, answer in asked
        ],
    }
    write_json(tmp_path / "SEED-Bench.json", content)
    questions = benchmark.load(tmp_path)
    assert questions[0].prompt == (
        "Which?\nA. a thing\nB. b thing\nC. c thing\nD. d thing"
        "\nAnswer with the option's letter from the given choices directly."
    )
    assert questions[0].images == (tmp_path / "SEED-Bench-image" / "14_25",)
    assert questions[2].images == (tmp_path / "SEED-Bench-video-image" / "10_v7.png",)
    file = write_answers(tmp_path / "a.jsonl", {101: "A", 102: "C. c thing", "v7": "E"})
    answers = benchmark.answers(file, questions, Problems())
    paper, strict = (benchmark.score(questions, answers, mode) for mode in ("paper", "strict"))
    assert [mark.read for mark in paper.marks] == ["A", "", ""]
    assert [mark.read for mark in strict.marks] == ["A", "C", ""]
    assert {name: t.value for name, t in paper.categories.items()} == {
        **{"image": 0.5, "Scene Understanding": 0.5},
        **{"video": 0, "Action Recognition": 0},
    }
    upload = tmp_path / "upload.jsonl"
    upload.write_bytes(benchmark.submission(questions, answers)["seed_bench.jsonl"])
    assert json.loads(upload.read_text().splitlines()[0]) == {
        "question_id": "101",
        "prediction": "A",
    }
    assert benchmark.answers(upload, questions, Problems()) == answers
