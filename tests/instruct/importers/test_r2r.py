"""R2R and connectivity files of the real layout with an invented building, good and bad."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from llava_jax.errors import UserError
from llava_jax.instruct.importers.r2r import read_scenes
from llava_jax.instruct.scene import Action, Edge, Node, Scene
from llava_jax.problems import Problems


def node(id: str, x: float, y: float, unobstructed: list, included: bool = True) -> dict:
    pose = [1.0, 0, 0, x, 0, 1, 0, y, 0, 0, 1, 1.5, 0, 0, 0, 1]
    return {
        "image_id": id,
        "pose": pose,
        "included": included,
        "visible": [True] * 4,
        "unobstructed": unobstructed,
        "height": 1.5,
    }


CONNECTIVITY = [
    node("aa", 0.0, 0.0, [False, True, False, True]),
    node("bb", 3.0, 4.0, [True, False, True, False]),
    node("cc", 3.0, 6.0, [False, True, False, False]),
    node("xx", 1.0, 0.0, [True, False, False, False], included=False),
]
PATHS = [
    {
        "distance": 7.0,
        "scan": "house",
        "path_id": 6250,
        "path": ["cc", "bb", "aa"],
        "heading": math.pi,
        "instructions": ["Leave by the stairs. ", "Go\ndown."],
    }
]


def read(
    folder: Path, problems: Problems, connectivity: Any = CONNECTIVITY, paths: Any = PATHS
) -> list[Scene]:
    (folder / "house_connectivity.json").write_text(json.dumps(connectivity))
    (folder / "R2R_train.json").write_text(json.dumps(paths))
    return read_scenes(folder, folder / "R2R_train.json", problems)


def test_reads_the_official_layout(tmp_path: Path) -> None:
    problems = Problems()
    (scene,) = read(tmp_path, problems)
    assert (scene.id, scene.modality) == ("6250", "embodied")
    assert scene.nodes == (
        Node("cc", (3.0, 6.0, 1.5)),
        Node("bb", (3.0, 4.0, 1.5)),
        Node("aa", (0.0, 0.0, 1.5)),
    )
    assert scene.edges == (Edge("aa", "bb", 5.0), Edge("bb", "cc", 2.0))
    assert scene.actions == (Action("go to", node="bb"), Action("go to", node="aa"))
    assert [text.text for text in scene.texts] == ["Leave by the stairs.", "Go down."]
    assert scene.attributes == {"scan": "house", "start": "cc", "heading": "180.0"}
    assert scene.exhaustive.edges and "Matterport3D" in scene.license
    assert not problems.counts


@pytest.mark.parametrize(
    ("path", "to", "problem"),
    [
        (("path",), ["cc", "aa"], "path over a way that is not there"),
        (("path",), ["cc", "zz"], "path over a node that is not there"),
        (("path",), ["aa", "xx"], "path over a node that is not there"),
        (("path",), ["aa", "bb", "aa"], "path that comes back to a node"),
        (("scan",), "shed", "path in a building without connectivity"),
        (("heading",), "north", "heading that is not a number"),
        (("instructions",), [3], "instruction that is not text"),
        (("path_id",), "one", "path_id that is not a whole number"),
    ],
)
def test_bad_paths_are_set_aside(tmp_path: Path, path: tuple, to: object, problem: str) -> None:
    bad = PATHS[0] | {path[0]: to}
    problems = Problems()
    assert len(read(tmp_path, problems, paths=[bad, PATHS[0]])) == 1
    assert problems.counts[problem] == 1


@pytest.mark.parametrize(
    ("number", "key", "to", "problem"),
    [
        (0, "pose", [1.0] * 15, "pose that is not 16 numbers"),
        (0, "pose", ["1"] * 16, "pose that is not a number"),
        (0, "included", None, "included that is not true/false"),
        (0, "unobstructed", [True], "unobstructed that does not list every node"),
        (0, "unobstructed", [False] * 4, "way in one direction only"),
    ],
)
def test_bad_nodes_are_left_out(
    tmp_path: Path, number: int, key: str, to: object, problem: str
) -> None:
    connectivity = copy.deepcopy(CONNECTIVITY)
    connectivity[number][key] = to
    problems = Problems()
    paths = [PATHS[0] | {"path": ["cc", "bb"]}]
    (scene,) = read(tmp_path, problems, connectivity, paths)
    assert scene.edges == (Edge("bb", "cc", 2.0),)
    assert problems.counts[problem] == 1


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        read_scenes(tmp_path / "none", tmp_path / "R2R_train.json", Problems())
    with pytest.raises(UserError, match="does not hold a list"):
        read(tmp_path, Problems(), connectivity={"nodes": []})
    with pytest.raises(UserError, match="no usable path"):
        read(tmp_path, Problems(), paths=[{"image_id": 1}])
