"""What a model sees: the tokens of images, computed once and kept while there is room."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from llava_jax import partition
from llava_jax.images import load_image, preprocess
from llava_jax.inference import programs
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.text.encode import ImageLayout

_TOWER_BATCHES = (1, 4, 16)  # views that are looked at together
_KEPT = 2**28  # bytes of image tokens kept between calls

Picture = Image.Image | bytes


class _Seen(NamedTuple):
    layout: ImageLayout
    tokens: Float[np.ndarray, "slots d"]


def power_of_two(count: int, least: int = 1) -> int:
    """The next power of two, from `least` upwards."""
    return max(least, 1 << max(count - 1, 0).bit_length())


class Sight:
    """Projected features of images, each known by its content. Threads may share it."""

    def __init__(
        self, config: LlavaConfig, params: partition.Params, compute: Compute, image_mode: str
    ):
        """image_mode: how `images.preprocess` makes an image a square; AnyRes does not ask."""
        self._config, self._params, self._compute = config, params, compute
        self._image_mode = image_mode
        self._seen: dict[str, _Seen] = {}
        self.known, self.computed = 0, 0  # images that were asked for
        self._lock = threading.Lock()

    def layouts(self, images: Mapping[str, Picture]) -> dict[str, ImageLayout]:
        """What images, given by `content_key`, become in a prompt.

        Raises:
          ImageError: an image whose size is asked for, and that cannot be read.
        """

        def layout(key: str, image: Picture) -> ImageLayout:
            if key in self._seen:
                return self._seen[key].layout
            # Only tiles depend on the size: else the image need not be read here.
            return self._config.layout(_opened(image).size if self._config.anyres else (1, 1))

        return {key: layout(key, image) for key, image in images.items()}

    def see(
        self, images: Mapping[str, Picture], layouts: Mapping[str, ImageLayout]
    ) -> dict[str, Float[np.ndarray, "slots d"]]:
        """The tokens of images, by key, of all views of each one after another.

        Computes what is not known, and forgets the oldest others.

        Raises:
          ImageError: an image that cannot be read.
        """
        with self._lock:
            self._look(images, layouts)
            return {key: self._seen[key].tokens for key in images}

    def warm_up(self, progress: Callable[[int, int], None]) -> None:
        """Compiles every program. progress: programs done, and in all."""
        side = self._config.vision.image_size
        for number, width in enumerate(_TOWER_BATCHES):
            progress(number, len(_TOWER_BATCHES))
            list(self._computed(iter([np.zeros((side, side, 3), np.uint8)] * width), width))
        progress(len(_TOWER_BATCHES), len(_TOWER_BATCHES))

    def _look(self, images: Mapping[str, Picture], layouts: Mapping[str, ImageLayout]) -> None:
        missing = [key for key in images if key not in self._seen]
        self.known += len(images) - len(missing)
        self.computed += len(missing)
        counts = [layouts[key].features // self._config.image_tokens for key in missing]
        views = chain.from_iterable(self._views(images[key]) for key in missing)
        tokens = self._computed(views, sum(counts))
        for key, count in zip(missing, counts, strict=True):
            self._seen[key] = _Seen(layouts[key], np.concatenate(list(islice(tokens, count))))
        for key in images:  # to the end, where the newest are
            self._seen[key] = self._seen.pop(key)
        size = sum(seen.tokens.nbytes for seen in self._seen.values())
        for key in list(self._seen)[: len(self._seen) - len(images)]:
            if size <= _KEPT:
                break
            size -= self._seen.pop(key).tokens.nbytes

    def _views(self, image: Picture) -> UInt8[np.ndarray, "views side side 3"]:
        opened, vision, anyres = _opened(image), self._config.vision, self._config.anyres
        if anyres is not None:
            return anyres.views(opened, vision.image_size)
        return preprocess(opened, vision.image_size, self._image_mode, vision.mean)[None]

    def _computed(
        self, views: Iterator[UInt8[np.ndarray, "side side 3"]], count: int
    ) -> Iterator[Float[np.ndarray, "image_tokens d"]]:
        """The tokens of `count` views, in batches of one size as they are asked for."""
        width = next((n for n in _TOWER_BATCHES if n >= count), _TOWER_BATCHES[-1])
        side = self._config.vision.image_size
        for first in range(0, count, width):
            pixels = np.zeros((width, side, side, 3), np.uint8)
            for place, view in enumerate(islice(views, width)):
                pixels[place] = view
            tokens = programs.see(self._config, self._compute, self._params, pixels)
            yield from np.asarray(tokens)[: count - first]


def content_key(image: Picture) -> str:
    """The same for images of the same pixels, or files of the same bytes."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    content = hashlib.sha256(image.tobytes())
    content.update(f"{image.mode} {image.size} {image.getpalette()}".encode())
    return content.hexdigest()


def _opened(image: Picture) -> Image.Image:
    return load_image(image) if isinstance(image, bytes) else image.convert("RGB")
