"""What a model is shown of a question's images: them, grey, or their patches in disorder.

A figure says how much was seen only beside the same figure of a model that could not see. One that
keeps its answers when the patches are shuffled reads images as a bag of patches.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from llava_jax.evaluation.benchmarks.benchmark import Mark, Question, Score
from llava_jax.evaluation.statistics import Interval, Tally, difference_interval, interval, tally
from llava_jax.images import Preprocessing, load_image

GRAY = (128, 128, 128)  # what a blind model is shown

View = Callable[[Image.Image], Image.Image]


def whole(image: Image.Image) -> Image.Image:
    """The image itself."""
    return image


def blind(image: Image.Image) -> Image.Image:
    """Uniform grey of the image's size."""
    return Image.new("RGB", image.size, GRAY)


@dataclass(frozen=True)
class ShuffledPatches:
    """The square that the vision tower would be given, its patches in another order.

    Cut after the model's own preprocessing, so that no patch of the tower holds parts of two: the
    result goes through it unchanged. The order depends on the pixels alone.
    patch: pixels of a side, the tower's.
    """

    preprocessing: Preprocessing
    patch: int

    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = np.array(self.preprocessing(image))
        side = len(pixels) // self.patch
        grid = pixels[: side * self.patch, : side * self.patch]
        patches = grid.reshape(side, self.patch, side, self.patch, 3).swapaxes(1, 2)
        order = np.random.default_rng(zlib.crc32(pixels.tobytes())).permutation(side * side)
        moved = patches.reshape(-1, self.patch, self.patch, 3)[order].reshape(patches.shape)
        grid[:] = moved.swapaxes(1, 2).reshape(grid.shape)
        return Image.fromarray(pixels)


def shown(question: Question, view: View = whole) -> list[Image.Image]:
    """The question's images as RGB, cut to its `crop` where it has one, in a view.

    Raises ImageError for one that cannot be read.
    """
    images = [load_image(source) for source in question.images]
    if question.crop:
        x, y, width, height = question.crop
        images = [image.crop((x, y, x + width, y + height)) for image in images]
    return [view(image) for image in images]


@dataclass(frozen=True)
class Beside:
    """A figure, the same figure in another view, and the paired difference between them."""

    figure: Interval
    other: float
    difference: Interval


def beside(score: Score, other: Score) -> dict[str, Beside]:
    """Every figure of a score beside the same model's in another view, mostly `blind`."""
    others = _figures(other)
    return {
        name: Beside(interval(own), others[name].value, difference_interval(own, others[name]))
        for name, own in _figures(score).items()
    }


def changed(questions: Sequence[Question], seen: Sequence[Mark], shuffled: Sequence[Mark]) -> Tally:
    """Sensitivity to order: of the right answers, the share that is another with shuffled patches.

    1 for a model that needs the structure of the image, 0 for one that reads a bag of patches.
    """
    right = [mark.right for mark in seen]
    moved = [
        mark.right * (mark.read != other.read) for mark, other in zip(seen, shuffled, strict=True)
    ]
    return tally([question.cluster for question in questions], moved, right)


def _figures(score: Score) -> dict[str, Tally]:
    return {score.metric: score.overall, **score.categories, **score.figures}
