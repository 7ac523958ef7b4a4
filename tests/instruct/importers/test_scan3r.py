"""3RScan and 3DSSG files of the real layout with an invented room, good and bad."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.scan3r import read_scenes
from llava_jax.instruct.scene import Cuboid, Entity, Frame, Relation, Scene
from llava_jax.problems import Problems

SCANS = [
    {
        "reference": "scan-a",
        "type": "train",
        "ambiguity": [],
        "scans": [{"reference": "scan-b", "transform": [1.0], "rigid": [], "removed": [2]}],
    }
]
OBJECTS = {
    "scans": [
        {
            "scan": "scan-b",
            "objects": [
                {
                    "id": "1",
                    "label": "desk",
                    "global_id": "75",
                    "nyu40": "14",
                    "ply_color": "#c49c94",
                    "affordances": ["placing items on", "sitting at"],
                    "attributes": {"color": ["brown", "dark"], "state": ["messy"], "shape": []},
                },
                {"id": "2", "label": "office chair", "affordances": [], "attributes": {}},
                {"id": "7", "label": "window", "affordances": ["opening"], "attributes": {}},
            ],
        }
    ]
}
RELATIONSHIPS = {
    "scans": [
        {
            "scan": "scan-b",
            "relationships": [[2, 1, 7, "close by"], [2, 1, 2, "left"], [7, 99, 1, "supported by"]],
        }
    ]
}
SEMSEG = {
    "scan_id": "scan-b",
    "segGroups": [
        {
            "id": 1,
            "objectId": 1,
            "label": "desk",
            "segments": [3],
            "dominantNormal": [0, 0, 1],
            "obb": {
                "centroid": [1.0, 2.0, 0.4],
                "axesLengths": [1.6, 0.8, 0.75],
                "normalizedAxes": [0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0],
            },
        },
        {
            "id": 2,
            "objectId": 2,
            "obb": {
                "centroid": [1.0, 3.0, 0.5],
                "axesLengths": [0.6, 0.6, 1.0],
                "normalizedAxes": [1, 0, 0, 0, 1, 0, 0, 0, 1],
            },
        },
    ],
}


def read(
    folder: Path,
    problems: Problems,
    scans: Any = SCANS,
    objects: Any = OBJECTS,
    relationships: Any = RELATIONSHIPS,
    semseg: Any = SEMSEG,
) -> list[Scene]:
    files = {"3RScan.json": scans, "objects.json": objects, "relationships.json": relationships}
    (folder / "rooms" / "scan-b").mkdir(parents=True)
    for name, content in (files | {"rooms/scan-b/semseg.v2.json": semseg}).items():
        (folder / name).write_text(json.dumps(content))
    return read_scenes(*(folder / name for name in files), folder / "rooms", problems)


def changed(content: Any, *path: Any, to: Any) -> Any:
    content = copy.deepcopy(content)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return content


def test_reads_the_official_layout(tmp_path: Path) -> None:
    problems = Problems()
    (scene,) = read(tmp_path, problems)
    assert (scene.id, scene.modality, scene.frame) == ("scan-b", "space", Frame(up="+z"))
    assert scene.attributes == {"reference": "scan-a", "split": "train"}
    desk, chair, window = scene.entities
    assert desk == Entity(
        "desk",
        Cuboid(
            (1.0, 2.0, 0.4), (1.6, 0.8, 0.75), ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
        ),
        {"color": "brown, dark"},
        id="1",
        affordances=("placing items on", "sitting at"),
        states=("messy",),
    )
    assert (chair.cuboid.size, window.place) == ((0.6, 0.6, 1.0), None)
    assert scene.relations == (Relation("2", "close by", "1"),)  # ids are text here, numbers there
    assert "non-commercial" in scene.license
    assert problems.counts == {
        "object without a box": 1,
        "relationship of an object that is not there": 1,
    }


OBB = ("segGroups", 0, "obb")
FIRST = ("scans", 0, "objects", 0)


@pytest.mark.parametrize(
    ("file", "path", "to", "problem"),
    [
        ("semseg", (*OBB, "axesLengths"), [1.0, 0.0, 1.0], "box with a side of 0 m"),
        ("semseg", (*OBB, "axesLengths"), [1.0, 1.0], "axesLengths that are not 3 numbers"),
        ("semseg", (*OBB, "normalizedAxes"), [1.0] * 9, "box whose axes are not at right angles"),
        ("semseg", (*OBB, "centroid"), [0, "x", 1], "centroid that is not a number"),
        ("semseg", ("segGroups",), {}, "semseg.v2.json that cannot be read"),
        ("objects", (*FIRST, "label"), " ", "empty label"),
        ("objects", (*FIRST, "id"), "2", "object whose id is taken"),
        ("objects", (*FIRST,), 5, "record that is not an object"),
        ("objects", ("scans", 0, "scan"), None, "scan that is not text"),
        ("relationships", ("scans", 0, "relationships", 0), [1, 2], "relationship that is not"),
        ("scans", (0, "type"), 3, "type that is not text"),
    ],
)
def test_bad_records_are_counted_and_the_rest_is_read(
    tmp_path: Path, file: str, path: tuple, to: object, problem: str
) -> None:
    files = {"scans": SCANS, "objects": OBJECTS, "relationships": RELATIONSHIPS, "semseg": SEMSEG}
    problems = Problems()
    scenes = read(tmp_path, problems, **{file: changed(files[file], *path, to=to)})
    assert any(kind.startswith(problem) for kind in problems.counts), problems.counts
    left = [entity.label for scene in scenes for entity in scene.entities]
    assert "window" in left or path[-1] == "scan"


@pytest.mark.parametrize("file", ["scans", "objects", "relationships"])
def test_another_file_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(UserError, match="; give "):
        read(tmp_path, Problems(), **{file: {"images": []}})


def test_rooms_that_were_not_downloaded_leave_things_without_places(tmp_path: Path) -> None:
    problems = Problems()
    objects = changed(OBJECTS, "scans", 0, "scan", to="scan-a")
    (scene,) = read(tmp_path, problems, objects=objects)
    assert [entity.place for entity in scene.entities] == [None] * 3
    assert problems.counts["scan without semseg.v2.json"] == 1
