"""COCO files of the real format, good and bad, and back."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.coco import CocoFiles, read_scenes
from llava_jax.instruct.scene import Box
from tests.instruct.drawn import drawn_files, drawn_scenes

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
        {"id": 3, "image_id": 57870, "category_id": 1, "bbox": [700, 0, 10, 10], "iscrowd": 0},
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


def test_reads_the_official_layout(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = read_scenes(write(tmp_path))
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
    assert "1 boxes" in caplog.text
    assert first.exhaustive.labels == ("person", "chair")
    assert not first.exhaustive.everything
    assert (second.entities, second.captions, second.license) == ((), (), "not stated")


def test_drawn_scenes_come_back_as_they_were(tmp_path: Path) -> None:
    scenes = drawn_scenes(40)
    again = read_scenes(drawn_files(tmp_path / "set", scenes))
    assert len(again) == 40
    for before, after in zip(scenes, again, strict=True):
        for a, b in zip(before.entities, after.entities, strict=True):
            assert (a.label, a.attributes, a.crowd) == (b.label, b.attributes, b.crowd)
            for axis in (0, 1):
                assert a.box.span(axis) == pytest.approx(b.box.span(axis), abs=1e-9)
        ours = {k: v for k, v in vars(before).items() if k != "entities"}
        assert ours == {k: v for k, v in vars(after).items() if k != "entities"}


@pytest.mark.parametrize(
    ("instances", "captions", "message"),
    [
        ([], CAPTIONS, "not in COCO's format"),
        ({"images": []}, CAPTIONS, "'categories'"),
        (INSTANCES, {"annotations": [{"image_id": 1, "caption": "x"}]}, "1"),
        (INSTANCES, {}, "'annotations'"),
    ],
)
def test_other_files_are_refused(
    tmp_path: Path, instances: object, captions: object, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_scenes(write(tmp_path, instances, captions))


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    files = write(tmp_path)
    files.captions.write_text("{broken")
    with pytest.raises(UserError, match=r"captions\.json is not valid JSON"):
        read_scenes(files)
    files.captions.unlink()
    with pytest.raises(UserError, match=r"no .*captions\.json"):
        read_scenes(files)
