"""COCO's instances and captions JSON: into scenes, and scenes back into the same format.

The files of 2014 and of 2017 differ only in how they name images. Two extensions are read where
present and never required: `attributes` of an annotation or image (texts by name, as
{"color": "red"}) and `complete` in `info` (nothing is left unannotated).
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.boxes import pixel_box
from llava_jax.instruct.importers.reading import (
    Flaw,
    get,
    get_file_name,
    get_id,
    get_side,
    get_text,
    read_json,
)
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene
from llava_jax.instruct.scene import captions as as_captions
from llava_jax.problems import Problems

Record = dict[str, Any]


@dataclass(frozen=True)
class CocoFiles:
    """The folder of the images and the two annotation files about them."""

    images: Path
    instances: Path
    captions: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "CocoFiles":
        return cls(folder / "images", folder / "instances.json", folder / "captions.json")


def read_whole(files: CocoFiles) -> list[Scene]:
    """The scenes of files that `write_scenes` wrote: anything wrong with them is a UserError."""
    problems = Problems()
    scenes = read_scenes(files.instances, files.captions, problems)
    if problems.counts:
        raise UserError(
            f"{files.instances.parent} is damaged ({problems.lines()[0]}); "
            "delete it, and it is made anew"
        )
    return scenes


def read_scenes(instances: Path | None, captions: Path | None, problems: Problems) -> list[Scene]:
    """One scene per listed image, in the file's order; one of the files may be None.

    An annotation that cannot be used is noted and left out; its label then does not count as
    exhaustively annotated in its image. An image that cannot be used is noted and left out with
    all that is about it. Boxes are clamped to the image.
    Raises UserError where no file is given, or one is missing or not in COCO's format.
    """
    if instances is None and captions is None:
        raise UserError("give an instances_*.json of COCO, a captions_*.json, or both")
    marked = _load(instances, "instances_*.json", "bbox", "images", "categories")
    told = _load(captions, "captions_*.json", "caption", *(() if instances else ("images",)))
    listing = marked if instances else told
    scenes = _listed(listing, problems)
    if not scenes:
        raise UserError(f"{instances or captions} lists no usable image; give a file that does")
    categories = _categories(marked, problems)
    exhaustive = Exhaustive(
        labels=tuple(dict.fromkeys(label for label, _ in categories.values())),
        everything=bool(_info(listing).get("complete")),
    )
    boxes, texts = (_by_image(content, scenes, problems) for content in (marked, told))
    filled = []
    for id, scene in scenes.items():
        entities, lost = _entities(scene, boxes[id], categories, problems)
        known = still_exhaustive(exhaustive, lost)
        about = as_captions(*_captions(texts[id], problems))
        filled.append(replace(scene, texts=about, entities=tuple(entities), exhaustive=known))
    return filled


def _load(path: Path | None, what: str, mark: str, *lists: str) -> Record:
    """The content of a file with these lists, and annotations of which some have a `mark`."""
    if path is None:
        return {}
    content = read_json(path, f"an {what} of COCO", without="segmentation")
    try:
        for key in ("annotations", *lists):
            get(content, key, list)
    except Flaw as flaw:
        raise UserError(f"{path} is not in COCO's format ({flaw}); give an {what}") from flaw
    annotations = content["annotations"]
    if annotations and not any(isinstance(a, dict) and mark in a for a in annotations):
        raise UserError(f"{path} has no annotation with a {mark}; give an {what} of COCO")
    return content


def _records(content: Record, key: str) -> Iterator[tuple[str, Any]]:
    """(where, record) of each in the list of that key, where there is such a list."""
    values = content.get(key)
    for number, record in enumerate(values if isinstance(values, list) else ()):
        named = record.get("id") if isinstance(record, dict) else None
        yield f"{key}[{number}]" + (f" with id {named}" if named is not None else ""), record


def _info(content: Record) -> Record:
    info = content.get("info")
    return info if isinstance(info, dict) else {}


def _attributes(record: Record) -> dict[str, str]:
    """Our extension; other tools put flags of their own under the name, which are no texts."""
    values = record.get("attributes")
    items = values.items() if isinstance(values, dict) else ()
    return {name: value for name, value in items if isinstance(value, str)}


def _listed(content: Record, problems: Problems) -> dict[str, Scene]:
    """A scene without annotations for each usable image, by image id."""
    licenses = {
        str(entry.get("id")): str(entry.get("name"))
        for _, entry in _records(content, "licenses")
        if isinstance(entry, dict)
    }
    source = str(_info(content).get("description", "not stated"))
    scenes: dict[str, Scene] = {}
    for where, image in _records(content, "images"):
        try:
            id = get_id(image, "id")
            if id in scenes:
                raise Flaw("image id for the second time")
            scenes[id] = Scene(
                id=id,
                image=get_file_name(image, "file_name"),
                source=source,
                license=licenses.get(str(image.get("license")), "not stated"),
                width=get_side(image, "width"),
                height=get_side(image, "height"),
                attributes=_attributes(image),
            )
        except Flaw as flaw:
            problems.note(str(flaw), where)
    return scenes


def _categories(content: Record, problems: Problems) -> dict[str, tuple[str, dict[str, str]]]:
    """Label and attributes of each category, by its id."""
    categories = {}
    for where, category in _records(content, "categories"):
        try:
            id, label = get_id(category, "id"), get_text(category, "name")
            if id in categories:
                raise Flaw("category id for the second time")
            above = category.get("supercategory")
            categories[id] = label, {"category": above} if isinstance(above, str) else {}
        except Flaw as flaw:
            problems.note(str(flaw), where)
    return categories


def _by_image(
    content: Record, scenes: Mapping[str, Scene], problems: Problems
) -> dict[str, list[tuple[str, Record]]]:
    """(where, annotation) by the listed image that it is about; each annotation id once."""
    grouped = defaultdict(list)
    seen = set()
    for where, annotation in _records(content, "annotations"):
        try:
            image = get_id(annotation, "image_id")
            if image not in scenes:
                raise Flaw("annotation of an unlisted image")
            if "id" in annotation:
                id = get_id(annotation, "id")
                if id in seen:
                    raise Flaw("annotation id for the second time")
                seen.add(id)
            grouped[image].append((where, annotation))
        except Flaw as flaw:
            problems.note(str(flaw), where)
    return grouped


def _entities(
    scene: Scene,
    annotations: Sequence[tuple[str, Record]],
    categories: Mapping[str, tuple[str, dict[str, str]]],
    problems: Problems,
) -> tuple[list[Entity], set[str]]:
    """What is marked in an image, and the labels of what could not be used ("": unknown)."""
    entities, lost = [], set()
    for where, annotation in annotations:
        label = ""
        try:
            category = get_id(annotation, "category_id")
            if category not in categories:
                raise Flaw("annotation of an unlisted category")
            label, attributes = categories[category]
            box = pixel_box(get(annotation, "bbox", list), scene.width, scene.height)
            crowd = annotation.get("iscrowd", 0) not in (0, None)
            entities.append(Entity(label, box, attributes | _attributes(annotation), crowd))
        except Flaw as flaw:
            problems.note(str(flaw), where)
            lost.add(label)
    return entities, lost


def still_exhaustive(exhaustive: Exhaustive, lost: set[str]) -> Exhaustive:
    """What is still annotated wherever it appears, where things of these labels were left out.

    lost: "" stands for a label that nobody knows: it can be any.
    """
    if not lost:
        return exhaustive
    return Exhaustive(
        labels=() if "" in lost else tuple(x for x in exhaustive.labels if x not in lost)
    )


def _captions(annotations: Sequence[tuple[str, Record]], problems: Problems) -> Iterator[str]:
    for where, annotation in annotations:
        try:
            yield get_text(annotation, "caption")
        except Flaw as flaw:
            problems.note(str(flaw), where)


def write_scenes(scenes: Sequence[Scene], files: CocoFiles, info: dict[str, Any]) -> None:
    """The inverse of `read_scenes`, for scenes with numeric ids and one source and licence."""
    labels = list(dict.fromkeys(label for scene in scenes for label in scene.exhaustive.labels))
    category_of = {
        e.label: e.attributes.get("category", e.label) for s in scenes for e in s.entities
    }
    ids = {label: number for number, label in enumerate(labels, start=1)}
    names = list(dict.fromkeys(scene.license for scene in scenes))
    shared = {
        "info": info | {"complete": all(scene.exhaustive.everything for scene in scenes)},
        "licenses": [{"id": number, "name": name} for number, name in enumerate(names, start=1)],
        "images": [
            {
                "id": int(scene.id),
                "file_name": scene.image,
                "width": scene.width,
                "height": scene.height,
                "license": names.index(scene.license) + 1,
                "attributes": dict(scene.attributes),
            }
            for scene in scenes
        ],
    }
    annotations = [
        {
            "image_id": int(scene.id),
            "category_id": ids[entity.label],
            "bbox": _pixels(entity.box, scene),
            "area": entity.box.area * scene.width * scene.height,
            "iscrowd": int(entity.crowd),
            "attributes": {k: v for k, v in entity.attributes.items() if k != "category"},
        }
        for scene in scenes
        for entity in scene.entities
    ]
    texts = [
        {"image_id": int(scene.id), "caption": caption}
        for scene in scenes
        for caption in scene.captions
    ]
    categories = [
        {"id": ids[label], "name": label, "supercategory": category_of.get(label, label)}
        for label in labels
    ]
    _dump(
        files.instances, shared | {"annotations": _numbered(annotations), "categories": categories}
    )
    _dump(files.captions, shared | {"annotations": _numbered(texts)})


def _pixels(box: Box, scene: Scene) -> list[float]:
    x, y = box.x1 * scene.width, box.y1 * scene.height
    corners = (x, y, box.x2 * scene.width - x, box.y2 * scene.height - y)
    return [round(value, 6) for value in corners]


def _numbered(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": number} | annotation for number, annotation in enumerate(annotations, start=1)]


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
