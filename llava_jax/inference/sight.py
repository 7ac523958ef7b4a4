"""What a model sees: the features of images, computed once and kept while there is room."""

import hashlib
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from llava_jax import partition
from llava_jax.images import load_image, preprocess
from llava_jax.inference import generate
from llava_jax.models.compute import Compute
from llava_jax.models.llava import LlavaConfig
from llava_jax.text.encode import ImageLayout

_TOWER_BATCH = 16
_KEPT_FEATURES = 2**28  # bytes of image features kept between calls

Picture = Image.Image | bytes


class _Seen(NamedTuple):
    layout: ImageLayout
    features: Float[np.ndarray, "views features d"]


class Sight:
    """The tower's features of images, each known by its content."""

    def __init__(
        self, config: LlavaConfig, params: partition.Params, compute: Compute, image_mode: str
    ):
        """image_mode: how `images.preprocess` makes an image a square; AnyRes does not ask."""
        self._config, self._params, self._compute = config, params, compute
        self._image_mode = image_mode
        self._seen: dict[str, _Seen] = {}

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

    def see(self, images: Mapping[str, Picture], layouts: Mapping[str, ImageLayout]) -> None:
        """Computes what is not known of images (by key), and forgets the oldest others.

        Raises:
          ImageError: an image that cannot be read.
        """
        missing = [key for key in images if key not in self._seen]
        counts = [layouts[key].features // self._config.image_tokens for key in missing]
        views = chain.from_iterable(self._views(images[key]) for key in missing)
        features = self._computed(views, sum(counts))
        for key, count in zip(missing, counts, strict=True):
            self._seen[key] = _Seen(layouts[key], np.stack(list(islice(features, count))))
        for key in images:  # to the end, where the newest are
            self._seen[key] = self._seen.pop(key)
        size = sum(seen.features.nbytes for seen in self._seen.values())
        for key in list(self._seen)[: len(self._seen) - len(images)]:
            if size <= _KEPT_FEATURES:
                break
            size -= self._seen.pop(key).features.nbytes

    def features(self, key: str) -> Float[np.ndarray, "views features d"]:
        """Those of an image of the last call of `see`."""
        return self._seen[key].features

    def _views(self, image: Picture) -> UInt8[np.ndarray, "views side side 3"]:
        opened, vision, anyres = _opened(image), self._config.vision, self._config.anyres
        if anyres is not None:
            return anyres.views(opened, vision.image_size)
        return preprocess(opened, vision.image_size, self._image_mode, vision.mean)[None]

    def _computed(
        self, views: Iterator[UInt8[np.ndarray, "side side 3"]], count: int
    ) -> Iterator[Float[np.ndarray, "features d"]]:
        """The features of `count` views, in batches of one size as they are asked for."""
        width, side = (
            generate.power_of_two(min(count, _TOWER_BATCH)),
            self._config.vision.image_size,
        )
        for first in range(0, count, width):
            pixels = np.zeros((width, side, side, 3), np.uint8)
            for place, view in enumerate(islice(views, width)):
                pixels[place] = view
            features = generate.encode_images(self._config, self._compute, self._params, pixels)
            yield from np.asarray(features)[: count - first]


def content_key(image: Picture) -> str:
    """The same for images of the same pixels, or files of the same bytes."""
    if isinstance(image, bytes):
        return hashlib.sha256(image).hexdigest()
    content = hashlib.sha256(image.tobytes())
    content.update(f"{image.mode} {image.size} {image.getpalette()}".encode())
    return content.hexdigest()


def _opened(image: Picture) -> Image.Image:
    return load_image(image) if isinstance(image, bytes) else image.convert("RGB")
