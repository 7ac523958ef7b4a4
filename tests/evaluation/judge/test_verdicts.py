"""Reading judges' words: all stored reviews, the ways of writing two marks, and what is none."""

import json
from pathlib import Path

import pytest

from llava_jax.evaluation.judge.verdicts import (
    UNREAD,
    read_as_the_paper,
    read_marks,
    read_preference,
)


def test_all_stored_reviews_are_read_as_their_tuples(shared_data: Path) -> None:
    files = sorted((shared_data / "llava_bench_wild" / "reviews").glob("*.jsonl"))
    reviews = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(reviews) == 180
    for review in reviews:
        expected = tuple(review["tuple"])
        assert read_marks(review["content"]) == expected
        assert read_as_the_paper(review["content"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "8 6",
        "8 6\nThe first answer names 2 dogs and 3 cats.",
        "8, 6",
        "8/6",
        "8 6   ",
        "\n\n8 6",
        "8.0 6.0",
        "(8, 6)",
        "[8, 6].",
        "8 | 6",
        "8 and 6",
        "**8 6**",
        "**8** **6**\n\nWhy: ...",
        "### 8 6",
        "`8 6`",
        "Scores: 8 6",
        "8/10, 6/10",
        "8/10 6/10\r\nBoth are fine.",
        "Assistant 1: 8, Assistant 2: 6",
        "Assistant 1: 8\nAssistant 2: 6\nBecause ...",
        "**Assistant 1:** 8/10\n**Assistant 2:** 6/10",
        "Answer 1 score: 8; Answer 2 score: 6",
        '{"scores": [8, 6], "reason": "fine"}',
        '```json\n{\n "scores": [8.0, 6],\n "reason": "7 of 9 {things}"\n}\n```',
        'Here it is: {"reason": "...", "scores": ["8", "6"]} I hope that helps.',
        '{"scores": [8, 6], "reason": "broke off in the mid',
        '<think>Perhaps {"scores": [1, 1]}?</think>\n{"scores": [8, 6]}',
        '{"scores": [8, 6]}\n{"scores": [8, 6]}',
        '{"notes": {"a": 1}} {"scores": [8, 6]}',
    ],
)
def test_two_marks(text: str) -> None:
    assert read_marks(text) == (8, 6)


def test_decimals() -> None:
    assert read_marks("7.5 8.25") == (7.5, 8.25)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I'm sorry, but I cannot compare these answers.",
        "Sorry, 8 6 is what I would say.",
        "I would give 8 and 6",
        "There are 2 assistants and 5 captions.",
        "Assistant 1 named 2, Assistant 2 named 4.",
        "Assistant 1: 8",
        "8",
        "8/10",
        "8 6 7",
        "80 60",
        "8 -6",
        "-1 -1",
        "2023 10",
        '{"scores": [8]}',
        '{"scores": [80, 60]}',
        '{"scores": [true, 6]}',
        '{"scores": [NaN, 6]}',
        '{"scores": null}',
        '{"scores": [8, 6]} or {"scores": [6, 8]}',
        "{" * 5000,
    ],
)
def test_talk_is_no_verdict(text: str) -> None:
    assert read_marks(text) is None


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("8 6\nwords", (8, 6)),
        ("8,6", (8, 6)),
        ("8.5 -1", (8.5, -1)),
        ("8, 6", UNREAD),
        ("8 6 ", UNREAD),
        ("\n8 6", UNREAD),
        ("8/6", UNREAD),
        ("Assistant 1: 8, Assistant 2: 6", UNREAD),
        ("", UNREAD),
        ("I am sorry", UNREAD),
    ],
)
def test_the_papers_parser(text: str, marks: tuple[float, float]) -> None:
    assert read_as_the_paper(text) == marks


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ('{"better": 1, "reason": "..."}', (1, 0)),
        ('{"better": "2"}', (0, 1)),
        ('{"better": "tie"}', (0.5, 0.5)),
        ("Both are short. My verdict: [[B]]", (0, 1)),
        ("[[C]]", (0.5, 0.5)),
        ("**Answer 1 is better.**\nIt names the dog.", (1, 0)),
        ("Tie", (0.5, 0.5)),
        ("[[A]] or [[B]]", None),
        ('{"better": 3}', None),
        ("Answer 1 says more, but 2 is right.", None),
        ("", None),
    ],
)
def test_preferences(text: str, marks: tuple[float, float] | None) -> None:
    assert read_preference(text) == marks
