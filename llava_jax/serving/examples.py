"""Pictures to try the chat page with, drawn when the server starts."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from llava_jax.instruct.importers.openmoji import SceneStyle, draw_scene, load_sprites
from llava_jax.weights import wheels

_COUNT = 4
_SIDE = 224  # pixels


def draw_examples(folder: Path) -> list[Path]:
    """The files of a few pictures: the pocket recipe's scenes where its font has been fetched, else
    plain shapes."""
    paths = [folder / f"example_{number}.png" for number in range(1, _COUNT + 1)]
    font = wheels.cached(wheels.POCKET_FONT)
    images = _shapes() if font is None else _scenes(font)
    for path, image in zip(paths, images, strict=True):
        image.save(path)
    return paths


def _scenes(font: Path) -> list[Image.Image]:
    rng, style = np.random.default_rng(0), SceneStyle(size=_SIDE)
    sprites = load_sprites(font, style)
    return [draw_scene(rng, style, sprites, "held_out")[0] for _ in range(_COUNT)]


def _shapes() -> list[Image.Image]:
    images = []
    for number, color in enumerate(("crimson", "royalblue", "seagreen", "darkorange")):
        image = Image.new("RGB", (_SIDE, _SIDE), "white")
        draw, half = ImageDraw.Draw(image), _SIDE // 2
        draw.regular_polygon((half, half, 80), 3 + number, fill=color)
        draw.ellipse((10, 10, 60, 60), fill="gold")
        images.append(image)
    return images
