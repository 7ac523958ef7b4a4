"""COCO's instances and captions JSON: into scenes, and scenes back into the same format.

Two extensions are read where present and never required: `attributes` of an annotation or image (a
mapping, e.g. {"color": "red"}) and `complete` in `info` (nothing is left unannotated).
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene
from llava_jax.instruct.scene import captions as as_captions

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class CocoFiles:
    """The folder of the images and the two annotation files about them."""

    images: Path
    instances: Path
    captions: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "CocoFiles":
        return cls(folder / "images", folder / "instances.json", folder / "captions.json")


def read_scenes(files: CocoFiles) -> list[Scene]:
    """One scene per image of the instances file, in its order.

    Boxes are clamped to the image; those that lie outside it are left out and counted in the log.
    Raises UserError where a file is missing, is not COCO's format, or names an unlisted image.
    """
    instances, captions = _load(files.instances), _load(files.captions)
    try:
        return _scenes(instances, captions)
    except (KeyError, TypeError) as error:
        raise UserError(
            f"{files.instances} or {files.captions} is not in COCO's format ({error!r}); "
            "give an instances_*.json and the captions_*.json of the same images"
        ) from error


def _scenes(instances: dict[str, Any], captions: dict[str, Any]) -> list[Scene]:
    categories = {category["id"]: category for category in instances["categories"]}
    licenses = {entry["id"]: entry["name"] for entry in instances.get("licenses", [])}
    info = instances.get("info", {})
    exhaustive = Exhaustive(
        labels=tuple(category["name"] for category in categories.values()),
        everything=bool(info.get("complete", False)),
    )
    texts: dict[int, list[str]] = {image["id"]: [] for image in instances["images"]}
    for annotation in captions["annotations"]:
        texts[annotation["image_id"]].append(" ".join(annotation["caption"].split()))
    marked: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in instances["images"]}
    for annotation in instances["annotations"]:
        marked[annotation["image_id"]].append(annotation)

    scenes, outside = [], 0
    for image in instances["images"]:
        boxes = [_box(a["bbox"], image["width"], image["height"]) for a in marked[image["id"]]]
        outside += boxes.count(None)
        scenes.append(
            Scene(
                id=str(image["id"]),
                image=image["file_name"],
                source=info.get("description", "not stated"),
                license=licenses.get(image.get("license"), "not stated"),
                width=image["width"],
                height=image["height"],
                texts=as_captions(*texts[image["id"]]),
                entities=tuple(
                    _entity(annotation, categories[annotation["category_id"]], box)
                    for annotation, box in zip(marked[image["id"]], boxes, strict=True)
                    if box
                ),
                exhaustive=exhaustive,
                attributes=image.get("attributes", {}),
            )
        )
    if outside:
        LOG.warning("%d boxes are empty or lie outside their image: left out", outside)
    return scenes


def _box(bbox: Sequence[int | float], width: int, height: int) -> Box | None:
    """[x, y, w, h] in pixels as fractions, clamped to the image; None where nothing remains."""
    x, y, w, h = bbox
    x1, x2 = (min(max(value / width, 0.0), 1.0) for value in (x, x + w))
    y1, y2 = (min(max(value / height, 0.0), 1.0) for value in (y, y + h))
    return Box(x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _entity(annotation: dict[str, Any], category: dict[str, Any], box: Box) -> Entity:
    attributes = {"category": category["supercategory"]} if "supercategory" in category else {}
    attributes |= annotation.get("attributes", {})
    return Entity(category["name"], box, attributes, crowd=bool(annotation.get("iscrowd", 0)))


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            loaded = json.load(file)
    except FileNotFoundError as error:
        raise UserError(f"there is no {path}; give the path of a COCO annotation file") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); download it again") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{path} is not in COCO's format: its outermost value is not an object")
    return loaded


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
