"""Small files in Visual Genome's format, of invented content."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llava_jax.errors import UserError
from llava_jax.instruct.importers.visual_genome import read_scenes
from llava_jax.instruct.scene import Box, Relation, Scene
from llava_jax.problems import Problems
from tests.instruct.importers.corrupting import corrupted

URL = "https://cs.stanford.edu/people/rak248/VG_100K_2"


def thing(id: int, names: str | list[str], x: int, y: int, w: int, h: int, **more) -> dict:
    named = {"name": names} if isinstance(names, str) else {"names": names}
    return {"object_id": id, "x": x, "y": y, "w": w, "h": h, "synsets": ["thing.n.01"]} | (
        named | more
    )


LAMP = thing(11, ["lamp"], 10, 20, 30, 40, merged_object_ids=[])
DESK = thing(12, ["Desk "], 0, 60, 120, 60, merged_object_ids=[13, 14])
FILES = {
    "image_data": [
        {"image_id": 1, "url": f"{URL}/1.jpg", "width": 100, "height": 100}
        | {"coco_id": None, "flickr_id": None},
        {"image_id": 2, "url": f"{URL}/2.jpg", "width": 50, "height": 40}
        | {"coco_id": 548, "flickr_id": 850},
    ],
    "objects": [
        {"image_id": 1, "image_url": f"{URL}/1.jpg", "objects": [LAMP, DESK]},
        {"image_id": 2, "image_url": f"{URL}/2.jpg", "objects": []},
    ],
    "attributes": [
        {
            "image_id": 1,
            "attributes": [
                thing(11, ["lamp"], 10, 20, 30, 40, attributes=["Grey", "lit", "grey"]),
                thing(13, ["desk"], 0, 60, 120, 60, attributes=["brown", "wooden"]),
                thing(14, ["desk"], 0, 60, 120, 60, attributes=["black"]),
                thing(12, ["desk"], 0, 60, 120, 60),
            ],
        }
    ],
    "relationships": [
        {
            "image_id": 1,
            "relationships": [
                {
                    "relationship_id": 900,
                    "predicate": "ON",
                    "synsets": ["along.r.01"],
                    "subject": thing(11, "lamp", 10, 20, 30, 40),
                    "object": thing(14, ["desk"], 0, 60, 120, 60),
                },
            ],
        }
    ],
    "region_descriptions": [
        {
            "id": 1,
            "regions": [
                {
                    "region_id": 77,
                    "image_id": 1,
                    "phrase": "a lamp\nthat is lit",
                    "x": 10,
                    "y": 20,
                    "width": 30,
                    "height": 100,
                }
            ],
        }
    ],
}


def read(folder: Path, **changes: object) -> tuple[list[Scene], dict[str, int]]:
    for name, content in (FILES | changes).items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    problems = Problems()
    return read_scenes(folder, problems), problems.counts


def test_reads_the_official_layout(tmp_path: Path) -> None:
    (first, second), problems = read(tmp_path)
    assert problems == {}
    assert (first.id, first.image, first.source) == ("1", "VG_100K_2/1.jpg", "Visual Genome")
    lamp, desk = first.entities
    assert (lamp.id, lamp.label, lamp.box) == ("11", "lamp", Box(0.1, 0.2, 0.4, 0.6))
    assert lamp.attributes == {"color": "gray", "attributes": "lit"}
    assert (desk.id, desk.label, desk.box) == ("12", "desk", Box(0.0, 0.6, 1.0, 1.0))
    assert desk.attributes == {"attributes": "brown, wooden, black"}  # of two colours, none is it
    assert first.relations == (Relation("11", "on", "12"),)
    (region,) = first.texts
    assert (region.kind, region.text) == ("region", "a lamp that is lit")
    assert region.box == Box(0.1, 0.2, 0.4, 1.0)
    assert first.exhaustive.labels == () and not first.exhaustive.everything
    assert (first.attributes, second.attributes) == ({}, {"coco_id": "548"})
    assert (second.entities, second.texts, second.width) == ((), (), 50)


def test_only_images_and_objects_are_needed(tmp_path: Path) -> None:
    read(tmp_path)
    for name in ("attributes", "relationships", "region_descriptions"):
        (tmp_path / f"{name}.json").unlink()
    first, _ = read_scenes(tmp_path, Problems())
    assert ([e.label for e in first.entities], first.relations) == (["lamp", "desk"], ())
    assert [dict(e.attributes) for e in first.entities] == [{}, {}]
    for name in ("objects", "image_data"):
        (tmp_path / f"{name}.json").unlink()
        with pytest.raises(UserError, match=rf"no .*{name}\.json; give the {name}\.json of Visual"):
            read_scenes(tmp_path, Problems())


def test_what_is_wrong_is_set_aside_and_the_rest_stays(tmp_path: Path) -> None:
    def related(subject: dict, object: dict, predicate: object = "near") -> dict:
        return {"predicate": predicate, "subject": subject, "object": object}

    unknown = thing(99, "ghost", 0, 0, 1, 1)
    objects = [
        LAMP,
        LAMP,
        thing(21, ["cat"], 100, 0, 10, 10),
        thing(22, [], 0, 0, 10, 10),
        thing(23, ["cup"], 0, 0, 10, 10) | {"w": "ten"},
        DESK,
    ]
    relationships = [
        related(LAMP, unknown),
        related(DESK, thing(14, "desk", 0, 60, 120, 60)),
        related(LAMP, DESK, predicate=" "),
        {"predicate": "on", "subject_id": 11, "object_id": 12},
        related(LAMP, DESK),
    ]
    regions = [{"phrase": 5, "x": 0, "y": 0, "width": 9, "height": 9}, {"phrase": "a cup", "x": 0}]
    (first, *_), problems = read(
        tmp_path,
        objects=[{"image_id": 1, "objects": objects}, {"image_id": 8, "objects": []}, 7],
        attributes=[{"image_id": 1, "attributes": [unknown | {"attributes": ["pale", 3]}]}],
        relationships=[{"image_id": 1, "relationships": relationships}],
        region_descriptions=[{"id": 1, "regions": regions}, {"id": 2}],
    )
    assert [entity.id for entity in first.entities] == ["11", "12"]
    assert first.relations == (Relation("11", "near", "12"),)
    assert problems == {
        "attribute that is not text": 1,
        "object id for the second time": 1,
        "box outside the image": 1,
        "object without a name": 1,
        "box that is not a number": 1,
        "annotations of an unlisted image": 1,
        "record that is not an object": 1,
        "attributes of an unlisted object": 1,
        "relationship of an unlisted object": 1,
        "relationship of an object to itself": 1,
        "empty predicate": 1,
        "missing subject": 1,
        "phrase that is not text": 1,
        "missing y": 1,
        "missing regions": 1,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("image_data", {"images": []}, "does not hold a list"),
        ("image_data", [{"image_id": 3}], "lists no usable image"),
        ("objects", {"1": []}, "does not hold a list"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, **{name: content})


@settings(
    max_examples=60,
    # The files are written anew.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files=st.fixed_dictionaries({name: corrupted(FILES[name]) for name in FILES}))
def test_no_corruption_crashes_the_run(tmp_path: Path, files: dict) -> None:
    with suppress(UserError):
        scenes, _ = read(tmp_path, **files)
        for scene in scenes:
            ids = {entity.id for entity in scene.entities}
            assert all({relation.subject, relation.object} <= ids for relation in scene.relations)
