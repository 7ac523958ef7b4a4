import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from llava_jax.errors import UserError
from llava_jax.instruct.importers.caps_boxes import read_scenes
from llava_jax.instruct.importers.coco_labels import COCO_LABELS
from llava_jax.instruct.scene import Box
from llava_jax.problems import Problems
from tests.instruct.importers.corrupting import corrupted

ROW = {
    "id": "000000000042",
    "image": "000000000042.jpg",
    "captions": ["A dog. ", "The dog\nsits."],
    "instances": [
        {"category": "dog", "bbox": [0.1, 0.2, 0.5, 1.0]},
        {"category": "cup", "bbox": [0.5, 0.5, 0.5, 0.6]},
    ],
}


def test_a_line_is_a_scene(tmp_path: Path) -> None:
    path = tmp_path / "caps_boxes.jsonl"
    rows = [ROW, ROW, ROW | {"id": "7", "captions": [3]}, {"question_id": 3}]
    path.write_text("\n".join(map(json.dumps, rows)))
    problems = Problems()
    first, second = read_scenes(path, problems)
    assert (first.id, first.image, first.width) == ("42", "000000000042.jpg", 0)
    assert first.captions == ("A dog.", "The dog sits.")
    (dog,) = first.entities
    assert (dog.label, dog.box) == ("dog", Box(0.1, 0.2, 0.5, 1.0))
    assert "dog" in first.exhaustive.labels and "cup" not in first.exhaustive.labels
    assert (second.id, second.captions) == ("7", ())
    assert problems.counts == {
        "empty box": 3,
        "image id for the second time": 1,
        "caption that is not text": 1,
        "missing instances": 1,
    }


@settings(
    # The file is written anew.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(row=corrupted(ROW))
def test_no_corruption_crashes_the_run(tmp_path: Path, row: object) -> None:
    path = tmp_path / "caps_boxes.jsonl"
    path.write_text(json.dumps(ROW | {"id": 5}) + "\n" + json.dumps(row))
    assert read_scenes(path, Problems())[0].id == "5"


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question_id": 3, "text": "What is it?"}\n')
    with pytest.raises(UserError, match=r"holds no captions and boxes .* give a caps_boxes"):
        read_scenes(path, Problems())


def test_the_released_file_is_read_whole(shared_data: Path) -> None:
    problems = Problems()
    path = shared_data / "coco_bench" / "caps_boxes_coco2014_val_80.jsonl"
    scenes = read_scenes(path, problems)
    assert problems.lines() == []
    assert (len(scenes), sum(len(scene.entities) for scene in scenes)) == (80, 476)
    assert {entity.label for scene in scenes for entity in scene.entities} <= set(COCO_LABELS)
    assert {len(scene.captions) for scene in scenes} == {5, 6}
    assert len(set(COCO_LABELS)) == 80
