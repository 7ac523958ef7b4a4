"""What the pipeline writes is what the TFDS builder reads."""

from pathlib import Path

from llava_jax.data.bad_images import BadImages
from llava_jax.data.tfds_builder import build
from llava_jax.instruct.pipeline import instruction_records, write_json
from llava_jax.instruct.teacher.rules import RuleTeacher
from tests.instruct.drawn import drawn_files, drawn_scenes


def test_records_of_scenes_build(tmp_path: Path) -> None:
    scenes = drawn_scenes(4)
    files = drawn_files(tmp_path / "scenes", scenes)
    shares = {"conversation": 1.0, "detail": 1.0}
    records = instruction_records(scenes, RuleTeacher(), shares, seed=0)
    write_json(tmp_path / "instructions.json", records)
    bad_images = BadImages("fail")
    built = build(tmp_path / "instructions.json", files.images, tmp_path / "tfds", bad_images)
    assert [(record.id, record.conversations) for record in built] == [
        (record["id"], record["conversations"]) for record in records
    ]
    assert [record.images[0].name for record in built] == [record["image"] for record in records]
