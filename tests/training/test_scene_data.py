"""What a recipe that draws its own data finds in its folder."""

import json
from itertools import combinations
from pathlib import Path

import pytest

from llava_jax.config import Recipe, new_recipe, parse
from llava_jax.data.records import LlavaJson
from llava_jax.errors import UserError
from llava_jax.instruct.importers import openmoji
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.instruct.scene import Scene
from llava_jax.training.scene_data import SHARES, make_scene_data
from llava_jax.weights import wheels
from tests.instruct.drawn import rectangles

TRAIN, HELD_OUT = 60, 10


@pytest.fixture(autouse=True)
def rectangles_for_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(b"never read as a font")
    monkeypatch.setattr(wheels, "fetch", lambda wheel: font)
    monkeypatch.setattr(openmoji, "load_sprites", lambda font, style: rectangles(style))


def recipe(**scenes: int | str) -> Recipe:
    config = new_recipe("align")
    config.scenes.update({"train": TRAIN, "held_out": HELD_OUT, "size": 64, **scenes})
    return parse(config)


def pairs(scenes: list[Scene]) -> list[set[tuple[str, ...]]]:
    labels = [sorted({entity.label for entity in scene.entities}) for scene in scenes]
    return [set(combinations(found, 2)) for found in labels]


def contents(folder: Path) -> dict[Path, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_held_out_scenes_show_pairs_never_trained_on(tmp_path: Path):
    make_scene_data(recipe(kinds=16), tmp_path)
    train, held_out = (
        read_whole(CocoFiles.in_folder(tmp_path / "data" / name)) for name in ("train", "held_out")
    )
    assert (len(train), len(held_out)) == (TRAIN, HELD_OUT)
    seen = set().union(*pairs(train))
    assert all(found - seen for found in pairs(held_out))
    labels = {entity.label for scene in train + held_out for entity in scene.entities}
    assert labels <= set(list(openmoji.KINDS)[:16])


def test_records_are_written_from_the_training_scenes_alone(tmp_path: Path):
    make_scene_data(recipe(), tmp_path)
    images = tmp_path / "data" / "train" / "images"
    captions = LlavaJson(tmp_path / "data" / "captions.json", images)
    assert len(captions) == TRAIN
    instructions = LlavaJson(tmp_path / "data" / "instructions.json", images)
    kinds = [record.id.rpartition("-")[2] for record in instructions]
    assert kinds.count("conversation") == TRAIN
    for kind in ("detail", "complex"):
        assert 0 < kinds.count(kind) < 3 * SHARES[kind] * TRAIN
    for record in [*captions, *instructions]:
        assert [image.load().size for image in record.images] == [(64, 64)]
        assert record.conversations[0]["value"].startswith("<image>\n")


def test_the_order_of_reasoning_and_answer_is_the_recipes(tmp_path: Path):
    said = {}
    for place in ("after", "before"):
        make_scene_data(recipe(reasoning=place), tmp_path / place)
        said[place] = (tmp_path / place / "data" / "instructions.json").read_text()
    records = [json.loads(text) for text in said.values()]
    differing = {a["id"] for a, b in zip(*records, strict=True) if a != b}
    assert differing and all(id.endswith("-complex") for id in differing)
    with pytest.raises(UserError, match=r"config.scenes.reasoning must be one of"):
        recipe(reasoning="never")


def test_a_second_call_leaves_what_exists_and_makes_what_is_missing(tmp_path: Path):
    make_scene_data(recipe(), tmp_path)
    before = contents(tmp_path / "data")
    make_scene_data(recipe(), tmp_path)
    assert contents(tmp_path / "data") == before
    instructions = tmp_path / "data" / "instructions.json"
    instructions.unlink()
    make_scene_data(recipe(), tmp_path)
    assert instructions.read_bytes() == before[instructions][0]


def test_a_recipe_without_scenes_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(wheels, "fetch")
    make_scene_data(recipe(train=0), tmp_path)
    assert not (tmp_path / "data").exists()
