"""Reading an image and making it the square of pixels that a vision tower expects.

Follows the preprocessing of github.com/haotian-liu/LLaVA (its `pad` and its CLIP processor), pixel
for pixel. Normalisation is left to the device: it is cheap there, and bytes travel faster.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from llava_jax.errors import UserError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
MODES = ("pad", "crop")

# Beyond these shapes the faithful arithmetic would ask for gigabytes: a picture one pixel high and
# ten thousand wide becomes 336 x 3,360,000 before its centre is cut out.
LONGEST_ASPECT = 32
LONGEST_SIDE = 8192


class ImageError(UserError):
    """An image that cannot be read. name: its path, or what its record calls it."""

    def __init__(self, name: str, reason: str):
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"cannot read the image {self.name}: {self.reason}"


def load_image(source: bytes | str | Path, name: str | None = None) -> Image.Image:
    """Decodes a whole image as RGB: alpha dropped, not blended; EXIF rotation ignored.

    name stands for the image in the error; a path needs none.
    Raises ImageError for anything that is missing, truncated or no image.
    """
    label = name or (f"of {len(source)} bytes" if isinstance(source, bytes) else str(source))
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return image.convert("RGB")
    except FileNotFoundError:
        raise ImageError(label, "no such file") from None
    except Exception as error:  # decoders raise nearly anything on malformed bytes
        raise ImageError(label, str(error) or type(error).__name__) from error


def preprocess(
    image: Image.Image,
    size: int,
    mode: str = "pad",
    mean: tuple[float, ...] = CLIP_MEAN,
) -> UInt8[np.ndarray, "size size 3"]:
    """The size x size RGB square of an image.

    mode: "pad" first centres it on a square of colour `int(255 * mean)` (LLaVA-1.5's stage 2 and
      evaluation); "crop" scales the shortest edge to size and cuts out the centre (stage 1).
    Shapes beyond LONGEST_ASPECT and LONGEST_SIDE lose resolution or their far ends first; all
    others equal the original's.
    """
    if mode == "pad":
        square = _pad_to_square(_shrink(image, LONGEST_SIDE), mean)
        return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))
    if mode == "crop":
        return _centre_crop(image, size)
    raise UserError(f"image mode {mode!r} is unknown: choose one of {MODES}")


@dataclass(frozen=True)
class Preprocessing:
    """`preprocess` with its choices made: what a stage does to every image."""

    size: int
    mode: str = "pad"
    mean: tuple[float, ...] = CLIP_MEAN

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"image mode {self.mode!r} is unknown: choose one of {MODES}")

    def __call__(self, image: Image.Image) -> UInt8[np.ndarray, "size size 3"]:
        return preprocess(image, self.size, self.mode, self.mean)


def _shrink(image: Image.Image, longest_side: int) -> Image.Image:
    if max(image.size) <= longest_side:
        return image
    scale = longest_side / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _pad_to_square(image: Image.Image, mean: tuple[float, ...]) -> Image.Image:
    side = max(image.size)
    colour = tuple(int(255 * channel) for channel in mean)
    square = Image.new("RGB", (side, side), colour)  # pyright: ignore[reportArgumentType]
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _centre_crop(image: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    longest_side = LONGEST_ASPECT * min(image.size)
    image = _cut_centre(image, min(image.width, longest_side), min(image.height, longest_side))
    shortest = min(image.size)
    width, height = (int(size * side / shortest) for side in image.size)
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(_cut_centre(resized, size, size))


def _cut_centre(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
