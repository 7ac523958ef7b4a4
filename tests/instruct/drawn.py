"""Scenes for tests: drawn with plain rectangles in place of the font's pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from llava_jax.instruct.importers.coco import CocoFiles, write_scenes
from llava_jax.instruct.importers.openmoji import INFO, SceneStyle, Split, draw_scene
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene, captions

STYLE = SceneStyle(size=64, textures=("plain",))


def rectangles(style: SceneStyle = STYLE) -> dict[int, Image.Image]:
    """A sprite for every look: 40 x 30 pixels of an own colour."""
    looks = [look for kind in style.kinds for look in KINDS[kind].looks]
    return {
        look.codepoint: Image.new("RGBA", (40, 30), (number, 255 - number, 7, 255))
        for number, look in enumerate(looks)
    }


def drawn_scenes(count: int, split: Split = "train", style: SceneStyle = STYLE) -> list[Scene]:
    sprites = rectangles(style)
    return [
        draw_scene(np.random.default_rng((3, number)), style, sprites, split, number)[1]
        for number in range(count)
    ]


def drawn_files(folder: Path, scenes: list[Scene]) -> CocoFiles:
    """The scenes as COCO files; each image is a uniform square, its red three times the id."""
    files = CocoFiles.in_folder(folder)
    files.images.mkdir(parents=True)
    for scene in scenes:
        Image.new("RGB", (16, 16), (3 * int(scene.id), 0, 0)).save(
            files.images / scene.image, quality=100
        )
    write_scenes(scenes, files, INFO)
    return files


def scene_of(
    *things: tuple[str, float, float],
    complete: bool = True,
    texts: tuple[str, ...] = ("A caption.",),
    **changes,
) -> Scene:
    """A complete scene of things of side 0.1 around the given centres; texts: its captions."""
    entities = tuple(
        Entity(label, Box(x - 0.05, y - 0.05, x + 0.05, y + 0.05)) for label, x, y in things
    )
    fields = {
        "id": "1",
        "image": "1.jpg",
        "source": "test",
        "license": "none",
        "width": 100,
        "height": 100,
        "texts": captions(*texts),
        "entities": entities,
        "exhaustive": Exhaustive(("dog", "cat", "car", "apple"), everything=complete),
    }
    return Scene(**(fields | changes))
