"""3RScan's rooms with 3DSSG's scene graphs: boxes in metres, attributes, affordances, relations.

Formats: github.com/WaldJohannaU/3RScan and 3dssg.github.io. Coordinates are right-handed metres
with z up; a room has no front, so `frame` states neither right nor forward.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llava_jax.errors import UserError
from llava_jax.instruct.importers.reading import Flaw, finite, get, get_text, read_json
from llava_jax.instruct.scene import Cuboid, Entity, Frame, Point, Relation, Scene
from llava_jax.problems import Problems

SOURCE = "3RScan with 3DSSG"
LICENSE = "3RScan Terms of Use (non-commercial research)"
FRAME = Frame(up="+z")
# They hold from a viewpoint that the data set does not state.
FROM_SOMEWHERE = frozenset({"left", "right", "front", "behind"})
_NOT_SQUARE = 0.01  # how far the axes of a box may be from unit length and right angles


def read_scenes(
    scans: Path, objects: Path, relationships: Path, rooms: Path, problems: Problems
) -> list[Scene]:
    """One scene per scan that 3DSSG describes, in the order of its objects.json.

    scans: 3RScan.json; a scene's attributes name the reference scan of its room ("reference"),
      as rescans show the same things, and the "split".
    objects, relationships: 3DSSG's objects.json and relationships.json.
    rooms: the folder of `<scan>/semseg.v2.json`; without that file the scan's things have no place.

    Raises UserError where a file is missing or another than it should be.
    """
    known = {scan: about for scan, about in _scans(scans, problems)}
    relations = {
        scan: entry
        for scan, entry in _described(relationships, "3DSSG's relationships.json", problems)
    }
    scenes = []
    for scan, entry in _described(objects, "3DSSG's objects.json", problems):
        if scan not in known:
            problems.note("scan that 3RScan.json does not list", scan)
        entities = _entities(entry, _places(rooms / scan / "semseg.v2.json", problems), problems)
        ids = {entity.id for entity in entities}
        scenes.append(
            Scene(
                id=scan,
                source=SOURCE,
                license=LICENSE,
                modality="space",
                frame=FRAME,
                entities=entities,
                relations=_relations(scan, relations.get(scan, {}), ids, problems),
                attributes=known.get(scan, {}),
            )
        )
    return scenes


def _scans(path: Path, problems: Problems) -> Iterator[tuple[str, Mapping[str, str]]]:
    listed = read_json(path, "3RScan.json")
    if not isinstance(listed, list):
        raise UserError(f"{path} does not hold a list; give 3RScan.json")
    for number, room in enumerate(listed):
        try:
            reference = get_text(room, "reference")
            about = {"reference": reference, "split": get_text(room, "type")}
            rescans = [get_text(scan, "reference") for scan in get(room, "scans", list)]
        except Flaw as flaw:
            problems.note(str(flaw), f"{path.name} room {number}")
            continue
        for scan in (reference, *rescans):
            yield scan, about


def _described(path: Path, what: str, problems: Problems) -> Iterator[tuple[str, Any]]:
    """The scans of one of 3DSSG's files by id; the first counts where one comes twice."""
    content = read_json(path, what)
    if not isinstance(content, dict) or not isinstance(content.get("scans"), list):
        raise UserError(f'{path} has no list of "scans"; give {what}')
    seen = set()
    for number, entry in enumerate(content["scans"]):
        try:
            scan = get_text(entry, "scan")
            if scan in seen:
                raise Flaw("scan that is described twice")
        except Flaw as flaw:
            problems.note(str(flaw), f"{path.name} scan {number}")
            continue
        seen.add(scan)
        yield scan, entry


def _entities(entry: Any, places: Mapping[str, Cuboid], problems: Problems) -> tuple[Entity, ...]:
    entities: dict[str, Entity] = {}
    objects = entry.get("objects")
    for number, thing in enumerate(objects if isinstance(objects, list) else []):
        try:
            entity = _entity(thing, places)
            if entity.id in entities:
                raise Flaw("object whose id is taken")
        except Flaw as flaw:
            problems.note(str(flaw), f"{entry['scan']} object {number}")
            continue
        entities[entity.id] = entity
        if entity.place is None:
            problems.note("object without a box", f"{entry['scan']} object {entity.id}")
    return tuple(entities.values())


def _entity(thing: Any, places: Mapping[str, Cuboid]) -> Entity:
    id = str(get(thing, "id", object))  # text here, a number in the other files
    attributes = thing.get("attributes")
    kinds = attributes if isinstance(attributes, dict) else {}
    lists = {kind: texts for kind in kinds if (texts := _texts(kinds, kind))}
    return Entity(
        label=get_text(thing, "label"),
        place=places.get(id),
        attributes={kind: ", ".join(texts) for kind, texts in lists.items() if kind != "state"},
        id=id,
        affordances=_texts(thing, "affordances"),
        states=lists.get("state", ()),
    )


def _texts(record: Any, key: str) -> tuple[str, ...]:
    """The different texts of a list, in order; none where it is no list."""
    values = record.get(key)
    listed = values if isinstance(values, list) else []
    return tuple(dict.fromkeys(value for value in listed if isinstance(value, str)))


def _places(path: Path, problems: Problems) -> dict[str, Cuboid]:
    """Boxes by object id, of one scan's semseg.v2.json."""
    if not path.exists():
        problems.note("scan without semseg.v2.json", path.parent.name)
        return {}
    try:
        groups = get(read_json(path, "3RScan's semseg.v2.json"), "segGroups", list)
    except (Flaw, UserError) as error:
        problems.note("semseg.v2.json that cannot be read", f"{path.parent.name}: {error}")
        return {}
    places = {}
    for number, group in enumerate(groups):
        try:
            places[str(get(group, "objectId", int))] = _cuboid(get(group, "obb", dict))
        except Flaw as flaw:
            problems.note(str(flaw), f"{path.parent.name} segGroup {number}")
    return places


def _cuboid(obb: Any) -> Cuboid:
    """normalizedAxes: nine numbers, the first three are the first axis, and so on."""
    size = _numbers(obb, "axesLengths", 3)
    if min(size) <= 0:
        raise Flaw("box with a side of 0 m")
    axes = np.array(_numbers(obb, "normalizedAxes", 9)).reshape(3, 3)
    if np.abs(axes @ axes.T - np.eye(3)).max() > _NOT_SQUARE:
        raise Flaw("box whose axes are not at right angles")
    first, second, third = (_point(axis) for axis in axes.tolist())
    return Cuboid(_point(_numbers(obb, "centroid", 3)), _point(size), (first, second, third))


def _numbers(obb: Any, key: str, count: int) -> list[float]:
    values = get(obb, key, list)
    if len(values) != count:
        raise Flaw(f"{key} that are not {count} numbers")
    return [finite(value, key) for value in values]


def _point(values: list[float]) -> Point:
    x, y, z = values
    return x, y, z


def _relations(scan: str, entry: Any, ids: set[str], problems: Problems) -> tuple[Relation, ...]:
    """[subject, object, number of the predicate, predicate]: "the subject is ... the object"."""
    relations = []
    listed = entry.get("relationships", [])
    for number, row in enumerate(listed if isinstance(listed, list) else []):
        where = f"{scan} relationship {number}"
        if not isinstance(row, list) or len(row) != 4 or not isinstance(row[3], str):
            problems.note("relationship that is not [subject, object, number, predicate]", where)
        elif not {str(row[0]), str(row[1])} <= ids:
            problems.note("relationship of an object that is not there", where)
        elif row[3] not in FROM_SOMEWHERE:
            relations.append(Relation(str(row[0]), row[3], str(row[1])))
    return tuple(dict.fromkeys(relations))
