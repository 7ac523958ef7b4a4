"""Scenes and a teacher in, LLaVA's record files out."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.progress import track

from llava_jax.errors import UserError
from llava_jax.instruct.facts.image import label_counts
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.teacher.wording import CAPTION_QUESTIONS
from llava_jax.instruct.turns import RESPONSES, Request, Teacher, Turn
from llava_jax.run_folder import write_whole

Record = dict[str, Any]


def wanted(scenes: Sequence[Scene], shares: Mapping[str, float], seed: int) -> list[Request]:
    """What to ask of a teacher; `shares`: the part of the scenes that gets each kind of response.

    Raises UserError for a kind that none of the scenes' modalities has.
    """
    kinds = {kind for scene in scenes for kind in RESPONSES[scene.modality]}
    if unknown := sorted(shares.keys() - kinds):
        raise UserError(f"no response types {unknown}; choose from {', '.join(sorted(kinds))}")
    requests = []
    for scene in scenes:
        rng = random.Random(f"{seed}/{scene.id}/shares")
        for kind in RESPONSES[scene.modality]:
            if rng.random() < shares.get(kind, 0):
                requests.append(Request(scene, kind, seed))
    return requests


def instruction_records(
    scenes: Sequence[Scene],
    teacher: Teacher,
    shares: Mapping[str, float],
    seed: int,
) -> list[Record]:
    """LLaVA records of the teacher's responses (`shares`: see `wanted`), in the scenes' order.

    A scene that gives the teacher nothing to say in a kind gets no record of it.
    """
    requests = wanted(scenes, shares, seed)
    responses = teacher.respond(requests)
    turns = {
        response.request.id: response.turns
        for response in track(responses, "Writing instructions", total=len(requests))
    }
    records = [
        record_of(request.scene, request.response, turns[request.id])
        for request in requests
        if turns[request.id]
    ]
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
            records.append(record_of(scene, "caption", [Turn(question, text)]))
    if not records:
        raise UserError("no scene has a caption; give the captions file of the same images")
    return records


def record_of(scene: Scene, response: str, turns: Sequence[Turn]) -> Record:
    """A LLaVA record; an image's marker stands in front of the first question."""
    conversations = []
    for number, turn in enumerate(turns):
        shown = scene.image and not number
        value = f"<image>\n{turn.question}" if shown else turn.question
        conversations.append({"from": "human", "value": value})
        conversations.append({"from": "gpt", "value": turn.answer})
    image = {"image": scene.image} if scene.image else {}
    return {"id": f"{scene.id}-{response}", **image, "conversations": conversations}


def count_responses(records: Sequence[Record]) -> dict[str, int]:
    """How many records there are of each response type."""
    return dict(Counter(record["id"].rpartition("-")[2] for record in records))


def write_json(path: Path, content: Any) -> None:
    """Writes whole or not at all: a crash leaves the old file, if there was one."""
    text = json.dumps(content, ensure_ascii=False, indent=1)
    # A lone surrogate, which JSON can hold and UTF-8 cannot, stays the escape that it came as.
    write_whole(path, text.encode(errors="backslashreplace"))
