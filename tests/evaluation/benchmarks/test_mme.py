"""MME: points by hand, against the official tool's positional reckoning, in each layout."""

import random
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.mme import COGNITION, PERCEPTION, Mme
from llava_jax.evaluation.statistics import interval
from llava_jax.problems import Problems
from tests.evaluation.benchmarks.layouts import write_lines

SUBTASKS = (*PERCEPTION, *COGNITION)


def tables(folder: Path, images: int = 3, said: random.Random | None = None) -> Path:
    """As the eval tool has them, with predictions if there are any."""
    folder.mkdir(parents=True, exist_ok=True)
    for subtask in SUBTASKS:
        lines = []
        for image in range(images):
            for thing, truth in (("cat", "Yes"), ("dog", "No")):
                row = [f"{image:04}.jpg", f"Is it a {thing}?  Please answer yes or no.", truth]
                row += [said.choice(["Yes", "No", "None", "Sure"])] if said else []
                lines.append("\t".join(row) + "\n")
        (folder / f"{subtask}.txt").write_text("".join(lines))
    return folder


def official(folder: Path, subtasks: tuple[str, ...]) -> float:
    """Two lines an image, a prediction's first four letters."""
    total = 0.0
    for subtask in subtasks:
        rows = [line.split("\t") for line in (folder / f"{subtask}.txt").read_text().splitlines()]
        starts = [row[3].lower()[:4] for row in rows]
        read = ["yes" if "yes" in s else "no" if "no" in s else "other" for s in starts]
        right = [r == row[2].lower() for r, row in zip(read, rows, strict=True)]
        both = [a and b for a, b in zip(right[::2], right[1::2], strict=True)]
        total += 100 * sum(right) / len(right) + 100 * sum(both) / len(both)
    return total


def test_points_are_the_official_tools(tmp_path: Path) -> None:
    benchmark = Mme()
    folder = tables(tmp_path / "predictions", said=random.Random(0))
    questions = benchmark.load(folder)
    answers = benchmark.answers(folder, questions, Problems())
    paper = benchmark.score(questions, answers, "paper")
    assert paper.overall.value == pytest.approx(official(folder, PERCEPTION))
    cognition = paper.figures["cognition, points of 800"]
    assert cognition.value == pytest.approx(official(folder, COGNITION))
    for subtask in SUBTASKS:
        assert paper.categories[subtask].value == pytest.approx(official(folder, (subtask,)))
    strict = benchmark.score(questions, answers, "strict")
    assert strict.invalid == sum(said in ("None", "Sure") for said in answers.values())
    assert paper.invalid == sum(said == "Sure" for said in answers.values())
    found = interval(paper.overall)
    assert found.low < found.value < found.high


def test_llavas_answers_are_known_by_image_and_prompt(tmp_path: Path) -> None:
    benchmark = Mme()
    tables(tmp_path / "eval_tool" / "Your_Results")
    (tmp_path / "MME_Benchmark_release_version" / "posters" / "images").mkdir(parents=True)
    questions = benchmark.load(tmp_path)
    poster = next(question for question in questions if question.groups == ("posters",))
    release = tmp_path / "MME_Benchmark_release_version"
    assert poster.images == (release / "posters" / "images" / "0000.jpg",)
    assert poster.prompt == "Is it a cat?\nAnswer the question using a single word or phrase."
    rows = [
        {
            "question_id": str(question.images[0].relative_to(release)),
            "prompt": question.prompt,
            "text": question.truth.capitalize(),
        }
        for question in reversed(questions)
    ]
    rows[0]["text"] = "Wrong"
    answers = benchmark.answers(write_lines(tmp_path / "a.jsonl", rows), questions, Problems())
    score = benchmark.score(questions, answers, "paper")
    assert score.overall.value == pytest.approx(2000)
    # One of six questions, one of three images.
    expected = 800 - 100 / 6 - 100 / 3
    assert score.figures["cognition, points of 800"].value == pytest.approx(expected)
    for name, table in benchmark.submission(questions, answers).items():
        (tmp_path / name).write_bytes(table)
    assert official(tmp_path, PERCEPTION) == pytest.approx(2000)
    assert official(tmp_path, COGNITION) == pytest.approx(expected)


def test_the_release_alone(tmp_path: Path) -> None:
    for number, subtask in enumerate(SUBTASKS):
        texts = images = tmp_path / "MME_Benchmark_release_version" / subtask
        if number % 2:
            texts, images = texts / "questions_answers_YN", images / "images"
        for folder in (texts, images):
            folder.mkdir(parents=True, exist_ok=True)
        (images / "ab.png").touch()
        (texts / "ab.txt").write_text(
            "Is it? Please answer yes or no.\tYes\nIsn't it? Please answer yes or no.\tNo\n"
        )
    questions = Mme().load(tmp_path)
    assert len(questions) == 28
    assert {question.id for question in questions[:2]} == {
        *("existence/ab: Is it?", "existence/ab: Isn't it?")
    }
    assert all(question.images[0].exists() for question in questions)


def test_broken_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Your_Results: eval_tool.zip"):
        Mme().load(tmp_path)
    tables(tmp_path)
    table = tmp_path / "OCR.txt"
    table.write_text(table.read_text().replace("\tYes\n", "\tMaybe\n", 1))
    with pytest.raises(UserError, match="not two questions with yes or no about OCR/0000"):
        Mme().load(tmp_path)
    table.write_text("0000.jpg\tIs it?\n")
    with pytest.raises(UserError, match=r"OCR.txt is not laid out .* line 1 has less than 3"):
        Mme().load(tmp_path)
