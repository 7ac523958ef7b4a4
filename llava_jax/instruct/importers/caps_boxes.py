"""LLaVA-Bench (COCO)'s `caps_boxes_*.jsonl`: the captions and boxes that its judge reads.

A line is {"id", "image", "captions": [text], "instances": [{"category", "bbox"}]}; a bbox is x1,
y1, x2, y2 as fractions of the image. Neither the image's size is told, nor a crowd from one thing.
Source: github.com/haotian-liu/LLaVA, playground/data/coco2014_val_qa_eval/.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.boxes import corner_box
from llava_jax.instruct.importers.coco import still_exhaustive
from llava_jax.instruct.importers.coco_labels import COCO_LABELS
from llava_jax.instruct.importers.reading import (
    Flaw,
    get,
    get_file_name,
    get_id,
    get_text,
    one_line,
    read_json_lines,
)
from llava_jax.instruct.scene import Entity, Exhaustive, Scene, captions
from llava_jax.problems import Problems


def read_scenes(path: Path, problems: Problems) -> list[Scene]:
    """One scene a line; COCO's 80 labels are exhaustive. Ids are COCO's, without leading zeros.

    Lines, captions and boxes that cannot be used are noted and left out.
    Raises UserError where there is no such file, or no line of it is of this format.
    """
    scenes: dict[str, Scene] = {}
    for where, row in read_json_lines(path, "a caps_boxes_*.jsonl of LLaVA-Bench (COCO)", problems):
        try:
            scene = _scene(row, where, problems)
            if scene.id in scenes:
                raise Flaw("image id for the second time")
            scenes[scene.id] = scene
        except Flaw as flaw:
            problems.note(str(flaw), where)
    if not scenes:
        raise UserError(f"{path} holds no captions and boxes of images; give a caps_boxes_*.jsonl")
    return list(scenes.values())


def _scene(row: Any, where: str, problems: Problems) -> Scene:
    entities, lost = [], set()
    for number, instance in enumerate(get(row, "instances", list)):
        label = ""
        try:
            label = get_text(instance, "category")
            entities.append(Entity(label, corner_box(get(instance, "bbox", list))))
        except Flaw as flaw:
            problems.note(str(flaw), f"{where}, instances[{number}]")
            lost.add(label)
    return Scene(
        id=get_id(row, "id").lstrip("0") or "0",
        image=get_file_name(row, "image"),
        source="LLaVA-Bench (COCO)",
        license="CC BY 4.0",
        texts=captions(*_captions(row, where, problems)),
        entities=tuple(entities),
        exhaustive=still_exhaustive(Exhaustive(COCO_LABELS), lost),
    )


def _captions(row: Any, where: str, problems: Problems) -> Iterator[str]:
    for number, caption in enumerate(get(row, "captions", list)):
        try:
            yield one_line(caption, "caption")
        except Flaw as flaw:
            problems.note(str(flaw), f"{where}, captions[{number}]")
