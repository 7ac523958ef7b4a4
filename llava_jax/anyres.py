"""AnyRes, LLaVA-1.6's way to look closely: the image as a whole, and in tiles at a fitting size.

Follows github.com/haotian-liu/LLaVA view for view and position for position. Everything here is
decided on the host by an image's size alone: a device only ever sees square views and slots.

Sizes are (width, height). A view is a square of `side` pixels that gives `features` features.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image

from llava_jax.text.encode import NEWLINE, ImageLayout

Merge = Literal["spatial_unpad", "spatial", "flat"]
Size = tuple[int, int]


@dataclass(frozen=True)
class AnyRes:
    """Which views of an image there are, and how their features stand in the sequence.

    pinpoints: the resolutions to choose from, (width, height) as the original's configurations
      have them (Hugging Face's have (height, width)). Of equally good ones the first is taken.
      Without any, the base view is all there is.
    merge: the original's `mm_patch_merge_type`. "flat": view after view. "spatial": the base view,
      then the rows of one map that all tiles make up. "spatial_unpad": of this map only what shows
      the image, a learned newline after each row; after an image without tiles, one newline.
    """

    pinpoints: tuple[Size, ...]
    merge: Merge = "spatial_unpad"

    @property
    def has_newline(self) -> bool:
        """Whether the model learns an `image_newline`."""
        return self.merge == "spatial_unpad"

    def best_resolution(self, size: Size) -> Size:
        """The pinpoint that keeps most pixels of an image; of several, the one that wastes least.

        For an image smaller than all of them this is the smallest, whatever its shape.
        """
        width, height = size

        def merit(pinpoint: Size) -> tuple[int, int]:
            scale = min(pinpoint[0] / width, pinpoint[1] / height)
            kept = min(int(width * scale) * int(height * scale), width * height)
            return kept, kept - pinpoint[0] * pinpoint[1]

        return max(self.pinpoints, key=merit)

    def grid(self, size: Size, side: int) -> tuple[int, int]:
        """Columns and rows of an image's tiles."""
        if not self.pinpoints:
            return 0, 0
        width, height = self.best_resolution(size)
        return width // side, height // side

    def views(self, image: Image.Image, side: int) -> UInt8[np.ndarray, "views side side 3"]:
        """An RGB image squeezed into a square, then its tiles row by row, black around it."""
        base = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))[None]
        columns, rows = self.grid(image.size, side)
        if not columns:
            return base
        canvas = np.asarray(_centred_on_black(image, (columns * side, rows * side)))
        tiles = canvas.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
        return np.concatenate([base, tiles.reshape(-1, side, side, 3)])

    def layout(self, size: Size, side: int, features: int) -> ImageLayout:
        """Where the features of an image's views stand.

        A view's features are the rows of a square; only "flat" takes any number of them.
        """
        columns, rows = self.grid(size, side)
        whole = ImageLayout.plain((1 + columns * rows) * features)
        if self.merge == "flat":
            return whole
        base, tiles = np.split(whole.slots, [features])
        edge = math.isqrt(features)
        apart = tiles.reshape(rows, columns, edge, edge)
        joined = apart.swapaxes(1, 2).reshape(rows * edge, columns * edge)
        if self.has_newline:
            shown = _unpadded(joined, size) if columns else joined.reshape(1, 0)
            joined = np.pad(shown, ((0, 0), (0, 1)), constant_values=NEWLINE)
        return ImageLayout(np.concatenate([base, joined.ravel()]), whole.features)


def _centred_on_black(image: Image.Image, size: Size) -> Image.Image:
    """The image as large as it fits on a black canvas, its aspect kept."""
    scale = min(size[0] / image.width, size[1] / image.height)
    # Never less than one pixel, however thin the image is.
    width = min(math.ceil(image.width * scale), size[0])
    height = min(math.ceil(image.height * scale), size[1])
    canvas = Image.new("RGB", size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    canvas.paste(resized, ((size[0] - width) // 2, (size[1] - height) // 2))
    return canvas


def _unpadded(
    joined: Int32[np.ndarray, "rows columns"], size: Size
) -> Int32[np.ndarray, "shown_rows shown_columns"]:
    """The part of a map of tiles that is not padding, for an image of this size.

    As the original computes it, which truncates products that fall short of a whole number by their
    last bit (an 88x55 image's 14.999999999999998 rows). transformers rounds them, so that three
    sizes in a hundred thousand have two rows or columns more there.
    """
    width, height = size
    rows, columns = joined.shape
    if width / height > columns / rows:
        top = (rows - int(height * (columns / width))) // 2
        return joined[top : rows - top]
    left = (columns - int(width * (rows / height))) // 2
    return joined[:, left : columns - left]
