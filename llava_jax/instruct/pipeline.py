"""Scenes and a teacher in, LLaVA's record files out."""

import json
import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.progress import track

from llava_jax.errors import UserError
from llava_jax.instruct.facts import label_counts
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher import RESPONSE_TYPES, Teacher, Turn
from llava_jax.instruct.wording import CAPTION_QUESTIONS

Record = dict[str, Any]


def instruction_records(
    scenes: Sequence[Scene],
    teacher: Teacher,
    shares: Mapping[str, float],
    seed: int,
) -> list[Record]:
    """LLaVA records of the teacher's responses; `shares`: the part of the scenes that gets a type.

    A type that `shares` leaves out gets none; nor does a scene that gives the teacher nothing to
    say in a type.
    """
    unknown = sorted(shares.keys() - set(RESPONSE_TYPES))
    if unknown:
        raise UserError(f"no response types {unknown}; choose from {', '.join(RESPONSE_TYPES)}")
    records = []
    for scene in track(scenes, "Writing instructions"):
        rng = random.Random(f"{seed}/{scene.id}/shares")
        for response in RESPONSE_TYPES:
            chosen = rng.random() < shares.get(response, 0)
            if chosen and (turns := teacher(scene, response, seed)):
                records.append(_record(scene, response, turns))
    if not records:
        raise UserError("the teacher wrote nothing: the scenes hold no annotated objects")
    return records


def caption_records(
    scenes: Sequence[Scene], content: Literal["caption", "names"], seed: int
) -> list[Record]:
    """Image-caption pairs for stage 1, in the layout of LLaVA-Pretrain; one a scene.

    "caption" is the scene's first caption; "names" only the labels in reading order.
    """
    records = []
    for scene in scenes:
        names = ", ".join(label_counts(scene))
        text = names if content == "names" else "".join(scene.captions[:1])
        if text:
            question = random.Random(f"{seed}/{scene.id}/caption").choice(CAPTION_QUESTIONS)
            records.append(_record(scene, "caption", [Turn(question, text)]))
    if not records:
        raise UserError("no scene has a caption; give the captions file of the same images")
    return records


def _record(scene: Scene, response: str, turns: Sequence[Turn]) -> Record:
    """The image marker stands in front of the first question."""
    conversations = []
    for number, turn in enumerate(turns):
        value = turn.question if number else f"<image>\n{turn.question}"
        conversations.append({"from": "human", "value": value})
        conversations.append({"from": "gpt", "value": turn.answer})
    return {
        "id": f"{scene.id}-{response}",
        "image": scene.image,
        "conversations": conversations,
    }


def count_responses(records: Sequence[Record]) -> dict[str, int]:
    """How many records there are of each response type."""
    return dict(Counter(record["id"].rpartition("-")[2] for record in records))


def write_json(path: Path, content: Any) -> None:
    """Writes whole or not at all: a crash leaves the old file, if there was one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
