"""Room-to-Room: ways through Matterport's buildings with the instructions that describe them.

Formats: github.com/peteanderson80/Matterport3DSimulator (connectivity/, tasks/R2R). Coordinates are
right-handed metres with z up; a heading of 0 looks along y and grows when one turns right.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.reading import (
    Flaw,
    finite,
    get,
    get_number,
    get_text,
    read_json,
    read_json_items,
)
from llava_jax.instruct.scene import Action, Edge, Exhaustive, Frame, Node, Point, Scene, Text
from llava_jax.problems import Problems

SOURCE = "Room-to-Room (R2R)"
LICENSE = "Matterport3D Terms of Use (non-commercial academic use)"
FRAME = Frame(up="+z", right="+x", forward="+y")


@dataclass(frozen=True)
class _Building:
    nodes: dict[str, Node]
    edges: tuple[Edge, ...]
    ways: frozenset[frozenset[str]]  # the two ends of each edge


def read_scenes(connectivity: Path, paths: Path, problems: Problems) -> list[Scene]:
    """One scene per path of `paths` (R2R_train.json, ...), in its order.

    connectivity: the folder of `<scan>_connectivity.json`.
    A scene's nodes are all of its building's, those of the path first; its actions walk the path,
    and its attributes tell where one starts ("start") and looks ("heading": degrees to the right
    of the frame's forward).

    Raises UserError where a file is missing or another than it should be.
    """
    if not connectivity.is_dir():
        raise UserError(f"there is no folder {connectivity}; give the simulator's connectivity/")
    buildings: dict[str, _Building | None] = {}
    scenes: list[Scene] = []
    number = -1
    for number, item in enumerate(read_json_items(paths, "R2R's R2R_*.json")):
        try:
            scan = get_text(item, "scan")
            if scan not in buildings:
                buildings[scan] = _building(connectivity / f"{scan}_connectivity.json", problems)
            building = buildings[scan]
            if building is None:
                raise Flaw("path in a building without connectivity")
            scenes.append(_scene(item, scan, building))
        except Flaw as flaw:
            problems.note(str(flaw), f"{paths.name} path {number}")
    if number >= 0 and not scenes:
        raise UserError(f"{paths} holds no usable path; give R2R's R2R_*.json")
    return scenes


def _building(path: Path, problems: Problems) -> _Building | None:
    if not path.exists():
        problems.note("building without a connectivity file", path.name)
        return None
    places = read_json(path, "the simulator's *_connectivity.json")
    if not isinstance(places, list):
        raise UserError(f"{path} does not hold a list; give the simulator's *_connectivity.json")
    nodes: dict[int, Node] = {}
    for number, place in enumerate(places):
        try:
            if get(place, "included", bool):
                nodes[number] = Node(get_text(place, "image_id"), _position(place))
                if len(get(place, "unobstructed", list)) != len(places):
                    raise Flaw("unobstructed that does not list every node")
        except Flaw as flaw:
            nodes.pop(number, None)
            problems.note(str(flaw), f"{path.name} node {number}")
    edges = []
    for i, j in ((i, j) for i in nodes for j in nodes if i < j):
        there, back = places[i]["unobstructed"][j], places[j]["unobstructed"][i]
        if there and back:
            edges.append(_edge(nodes[i], nodes[j]))
        elif there or back:
            problems.note("way in one direction only", f"{path.name} nodes {i} and {j}")
    by_id = {node.id: node for node in nodes.values()}
    return _Building(by_id, tuple(edges), frozenset(frozenset((e.start, e.end)) for e in edges))


def _position(place: Any) -> Point:
    """The last column of the pose, a 4 x 4 matrix written row by row."""
    pose = get(place, "pose", list)
    if len(pose) != 16:
        raise Flaw("pose that is not 16 numbers")
    x, y, z = (finite(pose[number], "pose") for number in (3, 7, 11))
    return x, y, z


def _edge(a: Node, b: Node) -> Edge:
    assert a.position is not None and b.position is not None
    return Edge(a.id, b.id, math.dist(a.position, b.position))


def _scene(item: Any, scan: str, building: _Building) -> Scene:
    path = _path(get(item, "path", list), building)
    instructions = get(item, "instructions", list)
    if not all(isinstance(text, str) for text in instructions):
        raise Flaw("instruction that is not text")
    rest = [node for node in building.nodes.values() if node.id not in path]
    return Scene(
        id=str(get(item, "path_id", int)),
        source=SOURCE,
        license=LICENSE,
        modality="embodied",
        frame=FRAME,
        texts=tuple(Text("instruction", " ".join(text.split())) for text in instructions),
        nodes=(*(building.nodes[id] for id in path), *rest),
        edges=building.edges,
        actions=tuple(Action("go to", node=id) for id in path[1:]),
        exhaustive=Exhaustive(edges=True),
        attributes={
            "scan": scan,
            "start": path[0],
            "heading": str(round(math.degrees(get_number(item, "heading")), 1)),
        },
    )


def _path(ids: Sequence[Any], building: _Building) -> Sequence[str]:
    if not ids or not all(isinstance(id, str) and id in building.nodes for id in ids):
        raise Flaw("path over a node that is not there")
    if len(set(ids)) < len(ids):
        raise Flaw("path that comes back to a node")
    if not all(frozenset(step) in building.ways for step in pairwise(ids)):
        raise Flaw("path over a way that is not there")
    return ids
