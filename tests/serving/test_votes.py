"""Votes reach the disk, one line each."""

import json
from datetime import datetime
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.serving.votes import Vote, Votes

VOTE = Vote("r1", "c1", "tiny", "Où?\nThere?", "Here.", ["ab"], "up", {"seed": 1})


def test_votes_are_added_to_what_is_there(tmp_path: Path):
    path = tmp_path / "new" / "votes.jsonl"
    Votes(path).add(VOTE)
    Votes(path).add(VOTE)
    first, second = map(json.loads, path.read_text("utf-8").splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "request": "r1",
        "conversation": "c1",
        "model": "tiny",
        "question": "Où?\nThere?",
        "answer": "Here.",
        "images": ["ab"],
        "vote": "up",
        "sampling": {"seed": 1},
    }
    assert second["request"] == "r1"


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path):
    with pytest.raises(UserError, match="choose another file"):
        Votes(tmp_path)
