"""LLaVA-Bench against the published reviews of LLaVA-1.5-7B, and reviews that are none."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import Benchmark
from llava_jax.evaluation.benchmarks.llava_bench import (
    LLAVA_BENCH_COCO,
    LLAVA_BENCH_WILD,
    LlavaBench,
)
from llava_jax.problems import Problems

# review -> percent over all, conv, detail, complex: llava_bench_wild/README.md
PUBLISHED = {
    1: (64.75, 59.3, 47.7, 77.6),
    2: (65.33, 59.0, 48.5, 78.8),
    3: (66.35, 59.0, 50.8, 79.6),
}


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def small_set(folder: Path, count: int = 4) -> Path:
    """`count` questions, two about an image."""
    ids = range(count)
    write_lines(
        folder / "questions.jsonl",
        [
            {"question_id": i, "image": f"{i // 2}.jpg", "text": f"Q{i}?", "category": "conv"}
            for i in ids
        ],
    )
    write_lines(
        folder / "context.jsonl",
        [{"image": f"{i}.jpg", "caption": f"Scene {i}."} for i in range(count)],
    )
    write_lines(
        folder / "answers_gpt4.jsonl",
        [{"question_id": i, "text": f"It is reference {i}."} for i in reversed(ids)],
    )
    return folder


def test_published_figures_of_stored_reviews(shared_data: Path) -> None:
    bench, data = LLAVA_BENCH_WILD, shared_data / "llava_bench_wild"
    questions = bench.load(data)
    for number, (overall, *categories) in PUBLISHED.items():
        problems = Problems()
        file = data / "reviews" / f"llava-v1.5-7b-eval{number}.jsonl"
        reviews = bench.answers(file, questions, problems)
        assert problems.counts == {}
        paper, strict = (bench.score(questions, reviews, mode) for mode in ("paper", "strict"))
        assert 100 * paper.overall.value == pytest.approx(overall, abs=5e-3)
        for name, value in zip(("conv", "detail", "complex"), categories, strict=True):
            assert 100 * paper.categories[name].value == pytest.approx(value, abs=0.05)
        assert strict.overall.value == paper.overall.value  # all are readable
        assert (strict.invalid, strict.void, paper.void) == (0, "", "")


def test_all_words_of_the_public_files_are_found(shared_data: Path) -> None:
    wild = LLAVA_BENCH_WILD.load(shared_data / "llava_bench_wild")
    assert len(wild) == 60 and all(path.is_file() for q in wild for path in q.images)
    assert wild[0].truth.context == "An aerial view of Diamond Head in the Hawaiian Islands."
    stored = shared_data / "llava_bench_wild" / "answers" / "llava-v1.5-7b.jsonl"
    problems = Problems()
    answers = LLAVA_BENCH_WILD.model_answers(stored, wild, problems)
    item = LLAVA_BENCH_WILD.items(wild, answers)[0]
    assert item.reference == "The famous sight in the photo is Diamond Head."
    assert item.candidate.startswith("The famous sight in the photo is the Diamond Head, which")
    assert problems.counts == {}

    coco = LLAVA_BENCH_COCO.load(shared_data / "coco_bench")
    assert [sum(q.groups == (c,) for q in coco) for c in ("conv", "detail", "complex")] == [30] * 3
    captions, _, boxes = coco[0].truth.context.partition("\n\n")
    assert len(captions.split("\n")) >= 5 and len({q.cluster for q in coco}) == 30
    assert all(line.rpartition(": ")[2].count(",") == 3 for line in boxes.split("\n"))


def read_both(bench: LlavaBench, folder: Path, reviews: list[dict]) -> tuple:
    questions, problems = bench.load(folder), Problems()
    texts = bench.answers(write_lines(folder / "reviews.jsonl", reviews), questions, problems)
    return *(bench.score(questions, texts, mode) for mode in ("paper", "strict")), problems


def test_what_the_paper_averages_in_is_excluded_and_voids(tmp_path: Path) -> None:
    contents = ["8 4", "8, 6", "I am sorry.", "10 10"]
    reviews = [{"question_id": i, "content": text} for i, text in enumerate(contents)]
    paper, strict, _ = read_both(LLAVA_BENCH_WILD, small_set(tmp_path), reviews)
    assert paper.overall.value == pytest.approx((4 - 1 - 1 + 10) / (8 - 1 - 1 + 10))
    assert strict.overall.value == pytest.approx((4 + 6 + 10) / (8 + 8 + 10))
    assert (paper.invalid, strict.invalid) == (2, 1)
    assert [mark.read for mark in strict.marks] == ["8 4", "8 6", "", "10 10"]
    assert paper.void == "" and "1 of 4 verdicts unreadably (25.0%" in strict.void


def test_a_judge_that_always_fails_scores_100_in_the_paper_only(tmp_path: Path) -> None:
    reviews = [{"question_id": i, "content": "Sorry."} for i in range(4)]
    paper, strict, _ = read_both(LLAVA_BENCH_WILD, small_set(tmp_path), reviews)
    assert paper.overall.value == 1
    assert strict.void and strict.invalid == 4 and len(strict.overall.sums) == 0


def test_two_percent_of_unreadable_verdicts_are_borne(tmp_path: Path) -> None:
    reviews = [{"question_id": i, "content": "8 6"} for i in range(100)]
    for unreadable in (2, 3):
        reviews[unreadable - 1]["content"] = reviews[0]["content"] = "Sorry."
        strict = read_both(LLAVA_BENCH_WILD, small_set(tmp_path, 100), reviews)[1]
        assert (strict.invalid, bool(strict.void)) == (unreadable, unreadable == 3)


def test_reviews_are_joined_by_id_and_tuples_stand(tmp_path: Path) -> None:
    reviews = [
        {"question_id": 2, "content": "7 7"},
        {"question_id": 0, "content": "Scores: 8 4", "tuple": [8.0, 4.0]},
        {"question_id": 2, "content": "1 1"},
        {"question_id": 9, "content": "1 1"},
        {"question_id": 1, "tuple": [5, 2.5]},
        {"question_id": 3, "text": "a model's answer"},
    ]
    paper, strict, problems = read_both(LLAVA_BENCH_WILD, small_set(tmp_path), reviews)
    assert [mark.read for mark in paper.marks] == ["8 4", "5 2.5", "7 7", ""]
    assert paper.overall.value == strict.overall.value == pytest.approx(13.5 / 20)
    assert strict.void  # of question 3 there is none
    assert problems.counts == {
        "second review of a question": 1,
        "review of another question": 1,
        "line without question_id and content": 1,
        "question without a review": 1,
    }


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    assert isinstance(LLAVA_BENCH_COCO, Benchmark)
    questions = LLAVA_BENCH_WILD.load(small_set(tmp_path))
    answers = write_lines(tmp_path / "answers.jsonl", [{"question_id": 0, "text": "A cat."}])
    with pytest.raises(UserError, match="give a file of reviews, or have the"):
        LLAVA_BENCH_WILD.answers(answers, questions, Problems())
    write_lines(tmp_path / "context.jsonl", [{"image": "0.jpg", "caption": "Scene"}])
    with pytest.raises(UserError, match=r"context.jsonl has nothing for question 2"):
        LLAVA_BENCH_WILD.load(tmp_path)
    (tmp_path / "context.jsonl").write_text('{"image": ')
    with pytest.raises(UserError, match=r"context.jsonl is damaged"):
        LLAVA_BENCH_WILD.load(tmp_path)
    with pytest.raises(UserError, match=r"qa90_questions.jsonl: github.com/haotian-liu/LLaVA"):
        LLAVA_BENCH_COCO.load(tmp_path)
