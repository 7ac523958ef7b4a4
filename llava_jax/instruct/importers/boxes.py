"""Boxes in pixels, as annotators drew them, into a scene's boxes."""

from collections.abc import Sequence
from typing import Any

from llava_jax.instruct.importers.reading import Flaw, finite
from llava_jax.instruct.scene import Box


def pixel_box(corner_and_size: Sequence[Any], width: float, height: float) -> Box:
    """[x, y, w, h] in pixels as fractions of an image of that size, clamped to it.

    Raises Flaw where they are not four finite numbers, or nothing is left inside the image.
    """
    if len(corner_and_size) != 4:
        raise Flaw("box that is not four numbers")
    x, y, w, h = (finite(value, "box") for value in corner_and_size)
    if w <= 0 or h <= 0:
        raise Flaw("empty box")
    x1, x2 = (min(max(value / width, 0.0), 1.0) for value in (x, x + w))
    y1, y2 = (min(max(value / height, 0.0), 1.0) for value in (y, y + h))
    if x1 >= x2 or y1 >= y2:
        raise Flaw("box outside the image")
    return Box(x1, y1, x2, y2)
