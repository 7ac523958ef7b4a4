"""POPE against the published figures of LLaVA-1.5-13B, and files that do not fit together."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.pope import SPLITS, Pope
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_lines

# split -> (accuracy, F1, share of yes): pope/README.md
PUBLISHED = {
    "random": (0.8801, 0.8714, 0.4168),
    "popular": (0.8743, 0.8625, 0.4137),
    "adversarial": (0.8550, 0.8446, 0.4330),
}


def small_set(folder: Path) -> Path:
    """Two questions about one image in each split."""
    asked = []
    for split in SPLITS:
        labels = [
            {
                "question_id": 1,
                "image": "a.jpg",
                "text": f"Is there a {split} cat?",
                "label": "yes",
            },
            {"question_id": 2, "image": "a.jpg", "text": f"Is there a {split} dog?", "label": "no"},
        ]
        write_lines(folder / f"coco_pope_{split}.json", labels)
        asked += [
            {
                "question_id": f"{split}{label['question_id']}",
                "image": label["image"],
                "text": label["text"] + "\nAnswer the question using a single word or phrase.",
                "category": split,
            }
            for label in labels
        ]
    write_lines(folder / "llava_pope_test.jsonl", asked)
    return folder


def test_published_figures_of_stored_answers(shared_data: Path) -> None:
    pope, problems = Pope(), Problems()
    questions = pope.load(shared_data / "pope")
    stored = shared_data / "pope" / "answers" / "llava-v1.5-13b.jsonl"
    answers = pope.answers(stored, questions, problems)
    assert problems.counts == {}
    scores = {mode: pope.score(questions, answers, mode) for mode in ("paper", "strict")}
    assert scores["paper"].overall.value == pytest.approx(0.85947, abs=5e-6)
    for split, (_, f1, _) in PUBLISHED.items():
        assert scores["paper"].categories[split].value == pytest.approx(f1, abs=5e-5)
    assert scores["strict"].marks == scores["paper"].marks  # every answer is Yes or No
    for split, (accuracy, _, yes) in PUBLISHED.items():
        here = [q for q in questions if q.groups == (split,)]
        figures = pope.score(here, answers, "strict").figures
        assert figures["accuracy"].value == pytest.approx(accuracy, abs=5e-5)
        assert figures["yes ratio"].value == pytest.approx(yes, abs=5e-5)


def test_the_modes_differ_where_the_original_guesses(tmp_path: Path) -> None:
    pope = Pope()
    questions = pope.load(small_set(tmp_path))[:2]
    said = {questions[0].id: "It is not clear.", questions[1].id: "I see a cat, no dog"}
    paper, strict = (pope.score(questions, said, mode) for mode in ("paper", "strict"))
    assert [mark.read for mark in paper.marks] == ["no", "no"]
    assert [mark.read for mark in strict.marks] == ["", ""]
    assert (paper.invalid, strict.invalid) == (0, 2)
    assert strict.figures["accuracy"].value == 0


def test_prompts_are_the_originals(shared_data: Path) -> None:
    rows = (shared_data / "pope" / "llava_pope_test.jsonl").read_text().splitlines()
    asked = {str(row["question_id"]): row["text"] for row in map(json.loads, rows)}
    questions = Pope().load(shared_data / "pope")
    assert {question.id: question.prompt for question in questions} == asked


def test_labels_of_another_version_are_refused(tmp_path: Path) -> None:
    small_set(tmp_path)
    labels = tmp_path / "coco_pope_popular.json"
    labels.write_text("".join(reversed(labels.read_text().splitlines(keepends=True))))
    with pytest.raises(UserError, match=r"coco_pope_popular.json labels other questions"):
        Pope().load(tmp_path)


def test_missing_files_are_named_with_their_source(tmp_path: Path) -> None:
    small_set(tmp_path)
    (tmp_path / "coco_pope_random.json").unlink()
    with pytest.raises(UserError, match=r"download .*\n.*coco_pope_random.json: github.com/AoiDra"):
        Pope().load(tmp_path)


def test_answers_are_joined_by_id_and_what_is_wrong_is_counted(tmp_path: Path) -> None:
    pope, problems = Pope(), Problems()
    questions = pope.load(small_set(tmp_path))
    file = tmp_path / "answers.jsonl"
    first, second, *_ = (question.id for question in questions)
    rows = [(second, "No"), ("other", "Yes"), (first, "Yes"), (first, "No")]
    write_lines(file, [{"question_id": id, "text": text} for id, text in rows])
    with file.open("a") as lines:
        lines.write('{"question_id": 1}\nbroken\n')
    answers = pope.answers(file, questions, problems)
    assert (answers[first], answers[second]) == ("Yes", "No")
    assert problems.counts == {
        "line that is no JSON object": 1,
        "answer to another question": 1,
        "second answer to a question": 1,
        "line without question_id and text": 1,
        "question without an answer (counts as wrong)": 4,
    }
    write_lines(file, [{"question_id": "other", "text": "Yes"}])
    with pytest.raises(UserError, match="answers none of the 6 questions"):
        pope.answers(file, questions, Problems())
