"""Responses that somebody wrote before: LLaVA's records, to be checked against their scenes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llava_jax.errors import UserError
from llava_jax.instruct.importers.pictures import image_id
from llava_jax.instruct.importers.reading import read_json_items, read_json_lines
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import RESPONSES, Request, Response, Turn
from llava_jax.problems import Problems

_WHAT = "LLaVA's JSON: a list of records with conversations, or one a line (.jsonl)"


def recorded_responses(path: Path, scenes: Sequence[Scene], problems: Problems) -> list[Response]:
    """The records of a LLaVA JSON as responses to the scenes of their images.

    Noted in problems: records that are none, and those of images that no scene is about.
    Raises UserError where the file is none of LLaVA's, or no record is about a scene.
    """
    by_image = {image_id(scene.image or scene.id): scene for scene in scenes}
    responses = []
    for record in read_records(path, problems):
        image = image_id(record.get("image") or record["id"])
        if image in by_image:
            scene = by_image[image]
            request = Request(scene, _kind(record, scene), record=record["id"])
            responses.append(Response(request, turns_of(record), "given"))
        else:
            problems.note("record about no scene", f"{path.name}: {record['id']}")
    if not responses:
        raise UserError(
            f"no record of {path} is about one of the {len(scenes)} scenes: give the annotations "
            "of its images"
        )
    return responses


def read_records(path: Path, problems: Problems) -> list[dict[str, Any]]:
    """LLaVA's records, their ids as text; what is none of them is noted.

    Raises UserError where the file is not a list of objects, or one a line.
    """
    if path.suffix == ".jsonl":
        found = [record for _, record in read_json_lines(path, _WHAT, problems)]
    else:
        found = list(read_json_items(path, _WHAT))
    records = []
    for number, record in enumerate(found):
        try:
            turns_of(record)
            records.append(record | {"id": str(record.get("id", number))})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            problems.note("record that is not LLaVA's", f"{path.name} number {number}: {error!r}")
    return records


def turns_of(record: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Questions and answers; ValueError where the two sides do not alternate."""
    values = [turn["value"].replace("<image>", "").strip() for turn in record["conversations"]]
    sides = [turn["from"] for turn in record["conversations"]]
    if not sides or sides != ["human", "gpt"] * (len(sides) // 2):
        raise ValueError("human and gpt do not alternate")
    return tuple(map(Turn, values[::2], values[1::2]))


def _kind(record: Mapping[str, Any], scene: Scene) -> str:
    """As our own ids end with it; else what LLaVA calls it by its length."""
    kinds = RESPONSES[scene.modality]
    ending = record["id"].rpartition("-")[2]
    return ending if ending in kinds else kinds[0]
