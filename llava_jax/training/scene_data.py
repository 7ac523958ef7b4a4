"""Data for recipes that draw their own: scenes, symbols, and instructions written from them."""

from pathlib import Path

from llava_jax.config import Recipe
from llava_jax.instruct.importers.coco import read_whole
from llava_jax.instruct.importers.openmoji import SceneStyle, draw_set
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.pipeline import caption_records, instruction_records, write_json
from llava_jax.instruct.teacher.rules import RuleTeacher
from llava_jax.weights import wheels

# The share of the training scenes that gets each kind of response.
SHARES = {"conversation": 1.0, "detail": 0.1, "complex": 0.2}


def make_scene_data(recipe: Recipe, workdir: Path) -> None:
    """Draws both sets and writes captions.json and instructions.json; what exists stays.

    The teacher is the rule-based one: it reads each scene's captions and boxes, never its pixels.
    """
    wanted = recipe.scenes
    if not wanted.train:
        return
    font = wheels.fetch(wheels.POCKET_FONT)
    style = SceneStyle(size=wanted.size, kinds=tuple(KINDS)[: wanted.kinds], extent=wanted.extent)
    data = workdir / "data"
    files = draw_set(data / "train", wanted.train, recipe.seed, "train", style, font)
    draw_set(data / "held_out", wanted.held_out, recipe.seed, "held_out", style, font)
    captions, instructions = data / "captions.json", data / "instructions.json"
    if captions.exists() and instructions.exists():
        return
    scenes = read_whole(files)
    write_json(captions, caption_records(scenes, "caption", recipe.seed))
    teacher = RuleTeacher(reasoning=wanted.reasoning)
    write_json(instructions, instruction_records(scenes, teacher, SHARES, recipe.seed))
