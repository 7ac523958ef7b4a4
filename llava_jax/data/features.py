"""What a frozen tower makes of every image, computed once and kept on disk."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from jaxtyping import Shaped
from rich.console import Console
from rich.progress import track

from llava_jax.data.bad_images import BadImages
from llava_jax.data.records import Source, StoredImage
from llava_jax.errors import UserError
from llava_jax.images import ImageError, Preprocessing

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

EncodeImages = Callable[[np.ndarray], Any]  # uint8 [batch,H,W,3] -> array [batch,patches,D]


class FeatureCache:
    """A memory-mapped array [images, patches, D] of bfloat16 and the place of each image in it.

    An image is known by its name and its content's mark (`StoredImage.key`), the cache by a
    fingerprint of tower and preprocessing: neither a changed image nor another tower can meet
    features that are not its own.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        index = json.loads((self.folder / "index.json").read_text())
        self.fingerprint: str = index["fingerprint"]
        self.shape: tuple[int, int] = tuple(index["shape"])  # patches, D
        self._places: dict[str, int] = index["places"]
        self._tried = {*self._places, *index["unreadable"]}
        path, shape = self.folder / "features.bin", (len(self._places), *self.shape)
        # an empty file cannot be mapped: all images may have been unreadable
        mapped = np.memmap(path, BFLOAT16, "r", shape=shape) if self._places else None
        self._features = np.empty(shape, BFLOAT16) if mapped is None else mapped

    def __reduce__(self):
        return FeatureCache, (self.folder,)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, image: StoredImage) -> bool:
        return image.key() in self._places

    def __getitem__(self, image: StoredImage) -> Shaped[np.ndarray, "patches d"]:
        """Features of an image. Raises ImageError if it is missing, changed or was unreadable."""
        place = self._places.get(image.key())
        if place is None:
            raise ImageError(image.name, f"it has no features in {self.folder}")
        return self._features[place]

    @classmethod
    def build(
        cls,
        folder: str | Path,
        sources: Sequence[Source],
        encode: EncodeImages,
        *,
        tower: str,
        preprocessing: Preprocessing,
        batch: int,
        bad_images: BadImages,
    ) -> "FeatureCache":
        """Features of all images of some sources, each image once.

        encode: the tower, always given uint8 [batch,size,size,3], and giving [batch,patches,D].
        tower: fingerprint of its architecture and weights.

        What the folder holds under the same fingerprint is kept, and only images that were never
        tried are computed. The new cache takes the old one's place when it is complete. One
        process builds. Raises UserError if the folder is something else or cannot be written, or
        by the policy of bad_images.
        """
        folder = Path(folder)
        fingerprint = f"{tower} {preprocessing}"
        known = _open_known(folder, fingerprint)
        images = _unique_images(sources, bad_images)
        if known is not None:
            images = {key: image for key, image in images.items() if key not in known._tried}
            if not images:
                return known
        unfinished = folder.with_name(f"{folder.name}.unfinished_{os.getpid()}")
        try:
            unfinished.mkdir(parents=True)
            places, unreadable, shape = {}, set(), (0, 0)
            if known is not None:
                places, shape = dict(known._places), known.shape
                unreadable = known._tried - places.keys()
                shutil.copyfile(folder / "features.bin", unfinished / "features.bin")
            with (unfinished / "features.bin").open("ab") as file:
                for key, features in _compute(images, encode, preprocessing, batch, bad_images):
                    places[key], shape = len(places), features.shape
                    file.write(np.ascontiguousarray(features, BFLOAT16).tobytes())
            index = {
                "fingerprint": fingerprint,
                "shape": shape,
                "places": places,
                "unreadable": sorted(unreadable | (images.keys() - places.keys())),
            }
            (unfinished / "index.json").write_text(json.dumps(index))
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        except OSError as error:
            raise UserError(f"cannot write the features {folder}: {error.strerror}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return cls(folder)


def _open_known(folder: Path, fingerprint: str) -> FeatureCache | None:
    if not folder.exists():
        return None
    if not (folder / "index.json").exists():
        raise UserError(f"{folder} is no feature cache: choose another folder or remove it")
    cache = FeatureCache(folder)
    return cache if cache.fingerprint == fingerprint else None


def _unique_images(sources: Sequence[Source], bad_images: BadImages) -> dict[str, StoredImage]:
    images: dict[str, StoredImage] = {}
    for source in sources:
        for index in range(len(source)):
            for image in source[index].images:
                try:
                    images.setdefault(image.key(), image)
                except ImageError as error:
                    bad_images.note([error])
    return images


def _compute(
    images: dict[str, StoredImage],
    encode: EncodeImages,
    preprocessing: Preprocessing,
    batch: int,
    bad_images: BadImages,
) -> Iterator[tuple[str, np.ndarray]]:
    waiting: list[str] = []
    pixels = np.zeros((batch, preprocessing.size, preprocessing.size, 3), np.uint8)
    progress = track(
        images.items(), "features of images", console=Console(stderr=True), transient=True
    )
    for number, (key, image) in enumerate(progress, start=1):
        try:
            pixels[len(waiting)] = preprocessing(image.load())
            waiting.append(key)
        except ImageError as error:
            bad_images.note([error])
        if len(waiting) == batch or (waiting and number == len(images)):
            yield from zip(waiting, np.asarray(encode(pixels)), strict=False)
            waiting.clear()
