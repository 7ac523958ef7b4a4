"""LLaVA's records as responses to scenes."""

import json
from pathlib import Path
from typing import Any

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.recorded import recorded_responses
from llava_jax.instruct.turns import Turn
from llava_jax.problems import Problems
from tests.instruct.drawn import scene_of

SCENE = scene_of(("dog", 0.5, 0.5), image="COCO_val2014_000000000009.jpg")


def record(image: str, *values: str, id: Any = "a") -> dict[str, Any]:
    sides = ["human", "gpt"] * len(values)
    turns = [{"from": side, "value": value} for side, value in zip(sides, values, strict=False)]
    return {"id": id, "image": image, "conversations": turns}


def write(path: Path, records: list[Any]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    else:
        path.write_text(json.dumps(records))
    return path


@pytest.mark.parametrize("name", ["chat.json", "chat.jsonl"])
def test_records_find_their_scenes_by_any_name_of_the_image(tmp_path: Path, name: str) -> None:
    records = [
        record("train2017/000000000009.jpg", "<image>\nWhat?", "A dog.", "So?", "Yes.", id=3),
        record("000000000009.png", "What?\n<image>", "A dog.", id="9-detail"),
        record("other.jpg", "What?", "A cat."),
        record("000000000009.jpg", "What?"),
        {"id": 5},
        "text",
    ]
    problems = Problems()
    first, second = recorded_responses(write(tmp_path / name, records), [SCENE], problems)
    assert first.turns == (Turn("What?", "A dog."), Turn("So?", "Yes."))
    assert (first.request.id, first.request.response) == ("3", "conversation")
    assert (second.request.id, second.request.response) == ("9-detail", "detail")
    assert problems.counts == {"record about no scene": 1, "record that is not LLaVA's": 3}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps([record("b.jpg", "What?", "A dog.")]), "no record of .* is about one of the 1"),
        ("{}", "does not hold a list"),
        ("[1,", "JSON"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "chat.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        recorded_responses(path, [SCENE], Problems())
