"""Visual Genome 1.2 and 1.4: objects with attributes, relationships and region descriptions.

Each file is a list of images. What differs between them: the image's id is `image_id`, but `id` in
region_descriptions.json; a box is x, y, w, h, but x, y, width, height there; an object of 1.4 that
stands for several of 1.2 lists their ids in `merged_object_ids`, and the other files may still use
those. The things that relationships.json repeats in full (some with a list `names`, some with a
text `name`) are taken by their ids from objects.json.
Source: visualgenome.org's data readme; github.com/ranjaykrishna/visual_genome_python_driver.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.boxes import pixel_box
from llava_jax.instruct.importers.reading import (
    Flaw,
    get,
    get_id,
    get_side,
    get_text,
    one_line,
    read_json_items,
)
from llava_jax.instruct.scene import Box, Entity, Relation, Scene, Text
from llava_jax.problems import Problems

_ROLES = ("subject", "object")  # of a relationship
# Attributes that say a colour and nothing else.
COLORS = frozenset(
    [
        *("black", "white", "gray", "brown", "pink", "purple"),
        *("red", "orange", "yellow", "green", "blue"),
    ]
)


def read_scenes(folder: Path, problems: Problems) -> list[Scene]:
    """One scene per image of image_data.json, in its order, with what is in the folder of
    objects.json (needed), attributes.json, relationships.json and region_descriptions.json.

    Nothing is exhaustive: people named what they noticed, and some of it twice. An entity's
    "color" is its only colour; all that else is said of it is in "attributes", separated by commas.
    A scene's "coco_id" is its image's in COCO, where it is one of COCO's.
    Records that cannot be used are noted and left out. Raises UserError where a needed file is
    missing, or a file is not in this format.
    """
    scenes = _listed(folder / "image_data.json", problems)
    contents = _objects(folder, scenes, problems)
    _add_relations(folder / "relationships.json", contents, problems)
    _add_regions(folder / "region_descriptions.json", scenes, contents, problems)
    return [
        replace(
            scene,
            entities=tuple(contents[id].entities.values()),
            relations=tuple(dict.fromkeys(contents[id].relations)),
            texts=tuple(dict.fromkeys(contents[id].regions)),
        )
        for id, scene in scenes.items()
    ]


@dataclass
class _Content:
    """What is known of one image. ids: the entity that an object id, merged or not, stands for."""

    entities: dict[str, Entity] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    relations: list[Relation] = field(default_factory=list)
    regions: list[Text] = field(default_factory=list)


def _listed(path: Path, problems: Problems) -> dict[str, Scene]:
    """A scene without content for each usable image, by image id."""
    scenes: dict[str, Scene] = {}
    for number, image in enumerate(read_json_items(path, _file(path))):
        try:
            id = _image_id(image)
            if id in scenes:
                raise Flaw("image id for the second time")
            scenes[id] = Scene(
                id=id,
                image=_image_name(image),
                source="Visual Genome",
                license="CC BY 4.0",
                width=get_side(image, "width"),
                height=get_side(image, "height"),
                attributes={"coco_id": get_id(image, "coco_id")} if image.get("coco_id") else {},
            )
        except Flaw as flaw:
            problems.note(str(flaw), f"{path.name}[{number}]")
    if not scenes:
        raise UserError(f"{path} lists no usable image; give {_file(path)}")
    return scenes


def _image_name(image: Any) -> str:
    """Folder and file, as in the unpacked archives of the images: "VG_100K_2/1.jpg"."""
    folder, _, name = get_text(image, "url").rpartition("/")
    if not name or not folder.rpartition("/")[2].startswith("VG_100K"):
        raise Flaw("url of no image in VG_100K or VG_100K_2")
    return f"{folder.rpartition('/')[2]}/{name}"


def _objects(folder: Path, scenes: Mapping[str, Scene], problems: Problems) -> dict[str, _Content]:
    contents = {id: _Content() for id in scenes}
    said = _attributes(folder / "attributes.json", scenes, problems)
    for image, where, record in _records(folder / "objects.json", "objects", scenes, problems):
        content = contents[image]
        try:
            id = get_id(record, "object_id")
            if id in content.entities:
                raise Flaw("object id for the second time")
            merged = get(record, "merged_object_ids", list) if "merged_object_ids" in record else []
            ids = [id, *map(str, merged)]
            attributes = _sorted_out([word for x in ids for word in said[image].pop(x, ())])
            box = _box(record, scenes[image], "w", "h")
            content.entities[id] = Entity(_name(record), box, attributes, id=id)
            content.ids |= dict.fromkeys(ids, id)
        except Flaw as flaw:
            problems.note(str(flaw), where)
    for image, left in said.items():
        for id in left:
            problems.note("attributes of an unlisted object", f"image {image} object {id}")
    return contents


def _attributes(
    path: Path, scenes: Mapping[str, Scene], problems: Problems
) -> dict[str, dict[str, list[str]]]:
    """What is said of objects: words by object id, by image id. Many objects have none."""
    said: dict[str, dict[str, list[str]]] = {id: {} for id in scenes}
    for image, where, record in _records(path, "attributes", scenes, problems):
        try:
            words = said[image].setdefault(get_id(record, "object_id"), [])
            for word in get(record, "attributes", list) if "attributes" in record else ():
                words.append(one_line(word, "attribute").lower())
        except Flaw as flaw:
            problems.note(str(flaw), where)
    return said


def _sorted_out(words: list[str]) -> dict[str, str]:
    """The only colour among the words under "color", everything else under "attributes"."""
    words = list(dict.fromkeys("gray" if word == "grey" else word for word in words))
    colors = [word for word in words if word in COLORS]
    color = {"color": colors[0]} if len(colors) == 1 else {}
    others = [word for word in words if word not in color.values()]
    return color | ({"attributes": ", ".join(others)} if others else {})


def _add_relations(path: Path, contents: Mapping[str, _Content], problems: Problems) -> None:
    for image, where, record in _records(path, "relationships", contents, problems):
        ids = contents[image].ids
        try:
            subject, object = (
                ids.get(get_id(get(record, role, dict), "object_id")) for role in _ROLES
            )
            if subject is None or object is None:
                raise Flaw("relationship of an unlisted object")
            if subject == object:
                raise Flaw("relationship of an object to itself")
            predicate = get_text(record, "predicate").lower()
            contents[image].relations.append(Relation(subject, predicate, object))
        except Flaw as flaw:
            problems.note(str(flaw), where)


def _add_regions(
    path: Path,
    scenes: Mapping[str, Scene],
    contents: Mapping[str, _Content],
    problems: Problems,
) -> None:
    for image, where, record in _records(path, "regions", contents, problems):
        try:
            box = _box(record, scenes[image], "width", "height")
            contents[image].regions.append(Text("region", get_text(record, "phrase"), box))
        except Flaw as flaw:
            problems.note(str(flaw), where)


def _records(
    path: Path, key: str, images: Mapping[str, Any], problems: Problems
) -> Iterator[tuple[str, str, Any]]:
    """(image id, where, record) of each record of listed images; none without an optional file."""
    if not path.exists() and path.name != "objects.json":
        return
    for number, image in enumerate(read_json_items(path, _file(path))):
        try:
            id = _image_id(image)
            if id not in images:
                raise Flaw("annotations of an unlisted image")
            records = get(image, key, list)
        except Flaw as flaw:
            problems.note(str(flaw), f"{path.name}[{number}]")
            continue
        for place, record in enumerate(records):
            yield id, f"image {id} {key}[{place}]", record


def _file(path: Path) -> str:
    return f"the {path.name} of Visual Genome 1.2 or 1.4"


def _image_id(image: Any) -> str:
    old = isinstance(image, dict) and "image_id" not in image
    return get_id(image, "id" if old else "image_id")


def _name(record: Any) -> str:
    """An object's first name, in lower case."""
    names = get(record, "names", list)
    if not names:
        raise Flaw("object without a name")
    return one_line(names[0], "name").lower()


def _box(record: Any, scene: Scene, width: str, height: str) -> Box:
    values = [get(record, key, object) for key in ("x", "y", width, height)]
    return pixel_box(values, scene.width, scene.height)
