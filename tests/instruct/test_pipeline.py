import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct import pipeline
from llava_jax.instruct.teacher.rules import RuleTeacher
from llava_jax.instruct.teacher.wording import CAPTION_QUESTIONS
from llava_jax.instruct.turns import Request, Response, Turn
from tests.instruct.drawn import drawn_scenes, scene_of


@dataclass
class Says:
    """A teacher that answers everything with the same."""

    turns: tuple[Turn, ...]
    name: str = "says"

    def respond(self, requests: Sequence[Request]) -> Iterator[Response]:
        for request in reversed(requests):  # any order is allowed
            yield Response(request, self.turns, self.name)


TWO = Says((Turn("first?", "one"), Turn("second?", "two")))
SILENT = Says(())


def test_records_have_llavas_layout() -> None:
    scene = scene_of(("dog", 0.5, 0.5))
    assert pipeline.instruction_records([scene], TWO, {"detail": 1.0}, 0) == [
        {
            "id": "1-detail",
            "image": "1.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nfirst?"},
                {"from": "gpt", "value": "one"},
                {"from": "human", "value": "second?"},
                {"from": "gpt", "value": "two"},
            ],
        }
    ]


def test_shares_are_kept_and_seeded() -> None:
    scenes = drawn_scenes(200)
    shares = {"conversation": 1.0, "detail": 0.3, "complex": 0.0}
    records = pipeline.instruction_records(scenes, RuleTeacher(), shares, 5)
    counts = pipeline.count_responses(records)
    assert counts["conversation"] == 200
    assert 40 <= counts["detail"] <= 80
    assert "complex" not in counts
    assert records == pipeline.instruction_records(scenes, RuleTeacher(), shares, 5)
    assert records != pipeline.instruction_records(scenes, RuleTeacher(), shares, 6)
    assert max(Counter(record["id"] for record in records).values()) == 1


def test_a_silent_teacher_is_an_error() -> None:
    with pytest.raises(UserError, match="wrote nothing"):
        pipeline.instruction_records(drawn_scenes(2), SILENT, {"detail": 1.0}, 0)


def test_an_unknown_response_type_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no response types \['poem'\]; choose from complex, "):
        pipeline.instruction_records(drawn_scenes(1), RuleTeacher(), {"poem": 1.0}, 0)


def test_captions_for_the_first_stage() -> None:
    scene = scene_of(("dog", 0.2, 0.5), ("cat", 0.5, 0.5), ("dog", 0.8, 0.5))
    (named,) = pipeline.caption_records([scene], "names", 0)
    (full,) = pipeline.caption_records([scene], "caption", 0)
    assert named["conversations"][1] == {"from": "gpt", "value": "dog, cat"}
    assert full["conversations"][1] == {"from": "gpt", "value": "A caption."}
    marker, question = full["conversations"][0]["value"].split("\n")
    assert marker == "<image>"
    assert question in CAPTION_QUESTIONS
    with pytest.raises(UserError, match="no scene has a caption"):
        pipeline.caption_records([scene_of(texts=())], "caption", 0)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "records.json"
    pipeline.write_json(path, [{"word": "naïve"}])
    with pytest.raises(TypeError):
        pipeline.write_json(path, [{"word": "better"}, object()])
    assert json.loads(path.read_text(encoding="utf-8")) == [{"word": "naïve"}]
