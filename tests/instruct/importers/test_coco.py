"""COCO files of the real format, good and bad, and back."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from llava_jax.errors import UserError
from llava_jax.instruct.importers.coco import CocoFiles, read_scenes, read_whole
from llava_jax.instruct.scene import Box, Scene
from llava_jax.problems import Problems
from tests.instruct.drawn import drawn_files, drawn_scenes
from tests.instruct.importers.corrupting import changed, corrupted

INSTANCES = {
    "info": {"description": "COCO 2014 Dataset", "year": 2014},
    "licenses": [{"id": 3, "name": "Attribution-NonCommercial-NoDerivs License", "url": "u"}],
    "images": [
        {"id": 57870, "file_name": "a.jpg", "width": 640, "height": 480, "license": 3},
        {"id": 9, "file_name": "b.jpg", "width": 100, "height": 200, "license": 99},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 57870,
            "category_id": 62,
            "bbox": [64, 48, 128, 96],
            "area": 5.0,
            "iscrowd": 0,
            "segmentation": [[1, 2]],
        },
        {"id": 2, "image_id": 57870, "category_id": 1, "bbox": [600, 0, 100, 480], "iscrowd": 1},
    ],
    "categories": [
        {"id": 1, "name": "person", "supercategory": "person"},
        {"id": 62, "name": "chair", "supercategory": "furniture"},
    ],
}
CAPTIONS = {
    "annotations": [
        {"id": 5, "image_id": 57870, "caption": "A chair \n by a crowd. "},
        {"id": 4, "image_id": 57870, "caption": "People."},
    ]
}


def write(folder: Path, instances: object = INSTANCES, captions: object = CAPTIONS) -> CocoFiles:
    files = CocoFiles.in_folder(folder)
    files.instances.write_text(json.dumps(instances))
    files.captions.write_text(json.dumps(captions))
    return files


def read(files: CocoFiles) -> tuple[list[Scene], dict[str, int]]:
    problems = Problems()
    return read_scenes(files.instances, files.captions, problems), problems.counts


def test_reads_the_official_layout(tmp_path: Path) -> None:
    (first, second), problems = read(write(tmp_path))
    assert (first.id, first.image, first.source) == ("57870", "a.jpg", "COCO 2014 Dataset")
    assert first.license == "Attribution-NonCommercial-NoDerivs License"
    assert first.captions == ("A chair by a crowd.", "People.")
    chair, crowd = first.entities
    assert (*chair.box.span(0), *chair.box.span(1)) == pytest.approx((0.1, 0.3, 0.1, 0.3))
    assert (chair.label, chair.attributes, chair.crowd) == (
        "chair",
        {"category": "furniture"},
        False,
    )
    assert (crowd.box, crowd.crowd) == (Box(600 / 640, 0.0, 1.0, 1.0), True)
    assert problems == {}
    assert first.exhaustive.labels == ("person", "chair")
    assert not first.exhaustive.everything
    assert (second.entities, second.captions, second.license) == ((), (), "not stated")


def test_either_file_will_do(tmp_path: Path) -> None:
    files = write(tmp_path, captions=CAPTIONS | {"images": INSTANCES["images"]})
    marked, _ = read_scenes(files.instances, None, Problems())
    assert (len(marked.entities), marked.captions) == (2, ())
    told, _ = read_scenes(None, files.captions, Problems())
    assert (told.image, told.entities, len(told.captions)) == ("a.jpg", (), 2)
    assert told.exhaustive.labels == ()
    with pytest.raises(UserError, match=r"give an instances_\*\.json of COCO, a captions"):
        read_scenes(None, None, Problems())


def test_drawn_scenes_come_back_as_they_were(tmp_path: Path) -> None:
    scenes = drawn_scenes(40)
    files = drawn_files(tmp_path / "set", scenes)
    again = read_whole(files)
    assert len(again) == 40
    for before, after in zip(scenes, again, strict=True):
        for a, b in zip(before.entities, after.entities, strict=True):
            assert (a.label, a.attributes, a.crowd) == (b.label, b.attributes, b.crowd)
            for axis in (0, 1):
                assert a.box.span(axis) == pytest.approx(b.box.span(axis), abs=1e-9)
        ours = {k: v for k, v in vars(before).items() if k != "entities"}
        assert ours == {k: v for k, v in vars(after).items() if k != "entities"}
    damaged = changed(json.loads(files.captions.read_text()), "annotations", 0, "caption", to=7)
    files.captions.write_text(json.dumps(damaged))
    with pytest.raises(UserError, match=r"set is damaged .1 x caption that is not text"):
        read_whole(files)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("annotations", 0, "bbox"), [700, 0, 10, 10], "box outside the image"),
        (("annotations", 0, "bbox"), [10, 10, 0, 5], "empty box"),
        (("annotations", 0, "bbox"), [10, 10, -5, 5], "empty box"),
        (("annotations", 0, "bbox"), [1, 2, 3], "box that is not four numbers"),
        (("annotations", 0, "bbox"), [1, 2, "3", 4], "box that is not a number"),
        (("annotations", 0, "bbox"), [1, 2, float("nan"), 4], "box that is not finite"),
        (("annotations", 0, "bbox"), "all of it", "bbox that is not a list"),
        (("annotations", 0, "bbox"), None, "missing bbox"),
        (("annotations", 0, "category_id"), None, "missing category_id"),
        (("annotations", 0, "category_id"), 5, "annotation of an unlisted category"),
        (("categories", 1, "name"), None, "missing name"),
        (("annotations", 0, "image_id"), 5, "annotation of an unlisted image"),
        (("annotations", 0, "id"), 2, "annotation id for the second time"),
        (("annotations", 0), "chair", "record that is not an object"),
        (("images", 1, "id"), 57870, "image id for the second time"),
        (("images", 1, "file_name"), None, "missing file_name"),
        (("images", 1, "file_name"), "../b.jpg", "file_name that names no file below a folder"),
        (("images", 1, "height"), 0, "height below one pixel"),
    ],
)
def test_what_is_wrong_is_set_aside_and_the_rest_stays(
    tmp_path: Path, path: tuple, value: Any, problem: str
) -> None:
    scenes, problems = read(write(tmp_path, changed(INSTANCES, *path, to=value)))
    assert problems[problem] == 1
    first = scenes[0]
    assert first.captions == ("A chair by a crowd.", "People.")
    assert len(first.entities) == (2 if path[0] == "images" else 1)
    assert len(scenes) == (1 if path[0] == "images" else 2)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ((0, "caption"), 7, "caption that is not text"),
        ((0, "caption"), " ", "empty caption"),
        ((0, "image_id"), 5, "annotation of an unlisted image"),
        ((0, "id"), None, ""),
        ((0, "id"), 4, "annotation id for the second time"),
    ],
)
def test_one_bad_caption_leaves_the_others(
    tmp_path: Path, path: tuple, value: Any, problem: str
) -> None:
    captions = changed(CAPTIONS, "annotations", *path, to=value)
    (first, _), problems = read(write(tmp_path, captions=captions))
    assert problems == ({problem: 1} if problem else {})
    assert len(first.captions) == (1 if problem else 2)


def test_where_an_annotation_was_lost_silence_means_nothing(tmp_path: Path) -> None:
    lost_box = changed(INSTANCES, "annotations", 0, "bbox", to=[])
    (first, second), _ = read(write(tmp_path, lost_box | {"info": {"complete": True}}))
    assert (first.exhaustive.labels, first.exhaustive.everything) == (("person",), False)
    assert (second.exhaustive.labels, second.exhaustive.everything) == (("person", "chair"), True)
    lost_label = changed(INSTANCES, "annotations", 0, "category_id", to=[])
    (first, second), _ = read(write(tmp_path, lost_label))
    assert (first.exhaustive.labels, second.exhaustive.labels) == ((), ("person", "chair"))


@pytest.mark.parametrize(
    ("instances", "captions", "message"),
    [
        ([], CAPTIONS, "instances.json is not in COCO's format"),
        (changed(INSTANCES, "categories", to=None), CAPTIONS, "missing categories"),
        (changed(INSTANCES, "images", to=[]), CAPTIONS, "lists no usable image"),
        (INSTANCES, {}, "captions.json is not in COCO's format .missing annotations"),
        (INSTANCES, INSTANCES, "captions.json has no annotation with a caption"),
        (CAPTIONS | {"images": [], "categories": []}, CAPTIONS, "no annotation with a bbox"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, instances: object, captions: object, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read(write(tmp_path, instances, captions))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    files = write(tmp_path)
    files.captions.write_text("{broken")
    with pytest.raises(UserError, match=r"captions\.json is not valid JSON"):
        read(files)
    files.captions.unlink()
    with pytest.raises(UserError, match=r"no .*captions\.json"):
        read(files)


@settings(
    max_examples=100,
    # The files are written anew.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    instances=corrupted(INSTANCES), captions=corrupted(CAPTIONS | {"images": INSTANCES["images"]})
)
def test_no_corruption_crashes_the_run(tmp_path: Path, instances: Any, captions: Any) -> None:
    files = write(tmp_path, instances, captions)
    for chosen in ((files.instances, files.captions), (None, files.captions)):
        with suppress(UserError):
            scenes = read_scenes(*chosen, Problems())
            assert scenes and all(scene.image and scene.width > 0 for scene in scenes)
