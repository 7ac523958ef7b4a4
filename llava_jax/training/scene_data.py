"""Data for recipes that draw their own: scenes, symbols, and instructions written from them."""

from pathlib import Path

from llava_jax.config import Recipe
from llava_jax.instruct.importers.coco import CocoFiles, read_scenes
from llava_jax.instruct.importers.openmoji import SceneStyle, draw_set
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.pipeline import caption_records, instruction_records, write_json
from llava_jax.instruct.rules import RuleTeacher
from llava_jax.weights import wheels

# The share of the training scenes that gets each kind of response.
SHARES = {"conversation": 1.0, "detail": 0.1, "complex": 0.2}


def train_scenes(workdir: Path) -> CocoFiles:
    """Where the scenes to train on lie."""
    return CocoFiles.in_folder(workdir / "data" / "train")


def held_out_scenes(workdir: Path) -> CocoFiles:
    """Where the scenes to evaluate on lie: each holds a pair of kinds never trained on together."""
    return CocoFiles.in_folder(workdir / "data" / "held_out")


def make_scene_data(recipe: Recipe, workdir: Path) -> None:
    """Draws both sets and writes captions.json and instructions.json; what exists stays.

    The teacher is the rule-based one: it reads each scene's captions and boxes, never its pixels.
    """
    wanted = recipe.scenes
    if not wanted.train:
        return
    font = wheels.fetch(wheels.POCKET_FONT)
    style = SceneStyle(size=wanted.size, kinds=tuple(KINDS)[: wanted.kinds], extent=wanted.extent)
    draw_set(workdir / "data" / "train", wanted.train, recipe.seed, "train", style, font)
    draw_set(workdir / "data" / "held_out", wanted.held_out, recipe.seed, "held_out", style, font)
    captions = workdir / "data" / "captions.json"
    instructions = workdir / "data" / "instructions.json"
    if captions.exists() and instructions.exists():
        return
    scenes = read_scenes(train_scenes(workdir))
    write_json(captions, caption_records(scenes, "caption", recipe.seed))
    write_json(instructions, instruction_records(scenes, RuleTeacher(), SHARES, recipe.seed))
