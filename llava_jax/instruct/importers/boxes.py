"""Boxes as annotators drew them, into a scene's boxes. What is beyond the image is cut off."""

from collections.abc import Sequence
from typing import Any

from llava_jax.instruct.importers.reading import Flaw, finite
from llava_jax.instruct.scene import Box


def pixel_box(corner_and_size: Sequence[Any], width: int | float, height: int | float) -> Box:
    """[x, y, w, h] in pixels of an image of that size.

    Raises Flaw where they are not four finite numbers, or nothing lies inside the image.
    """
    x, y, w, h = _four_numbers(corner_and_size)
    return _inside(x / width, y / height, (x + w) / width, (y + h) / height)


def corner_box(corners: Sequence[Any]) -> Box:
    """[x1, y1, x2, y2] as fractions of width and height; Flaw as of `pixel_box`."""
    return _inside(*_four_numbers(corners))


def _four_numbers(values: Sequence[Any]) -> tuple[float, float, float, float]:
    if len(values) != 4:
        raise Flaw("box that is not four numbers")
    a, b, c, d = (finite(value, "box") for value in values)
    return a, b, c, d


def _inside(x1: float, y1: float, x2: float, y2: float) -> Box:
    if x1 >= x2 or y1 >= y2:
        raise Flaw("empty box")
    x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in (x1, y1, x2, y2))
    if x1 >= x2 or y1 >= y2:
        raise Flaw("box outside the image")
    return Box(x1, y1, x2, y2)
