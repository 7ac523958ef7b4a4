"""Fingerprints of images: the same pixels, and nearly the same picture."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt64
from PIL import Image

from llava_jax.images import ImageError, load_image
from llava_jax.problems import Problems

# Bits (of 64) by which two pictures may differ and still be the same. Of 1,600 images of LCS-558K,
# saved again at JPEG quality 40 or scaled to half, 99.8% stay within 4 of themselves; of their 1.28
# million pairs none comes as near (by signs of neighbours' differences, dHash, 8 do).
NEAR_BITS = 4

_SIDE, _KEPT = 32, 8
_COSINES = np.cos(np.pi / _SIDE * np.outer(np.arange(_KEPT), np.arange(_SIDE) + 0.5))
_FLAT = 1.0  # grey levels of standard deviation: below it there is no picture to compare


@dataclass(frozen=True)
class Fingerprint:
    """pixels: SHA-256 of the decoded image. bits: its perceptual hash, None for an even area."""

    pixels: str
    bits: int | None


def fingerprint(image: Image.Image) -> Fingerprint:
    """The perceptual hash is pHash: signs of the 8 x 8 lowest frequencies of a 32 x 32 grey image,
    against their median (hackerfactor.com, "Looks Like It", 2011; as the ImageHash package's).
    """
    content = f"{image.size}".encode() + image.convert("RGB").tobytes()
    grey = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), float)
    bits = None
    if grey.std() >= _FLAT:
        low = _COSINES @ grey @ _COSINES.T
        bits = int.from_bytes(np.packbits(low > np.median(low)).tobytes())
    return Fingerprint(hashlib.sha256(content).hexdigest(), bits)


def fingerprints(folder: Path, names: Iterable[str], problems: Problems) -> dict[str, Fingerprint]:
    """By file name below the folder; an image that cannot be read has none, and is noted."""
    found = {}
    for name in dict.fromkeys(filter(None, names)):
        try:
            found[name] = fingerprint(load_image(folder / name))
        except ImageError as error:
            problems.note(f"image without a fingerprint: {error.reason}", name)
    return found


class Pictures:
    """Pictures that were seen, by perceptual hash: every one of them is compared, none is missed.

    0.1 ms to look one up among 100,000.
    """

    def __init__(self) -> None:
        self._bits: UInt64[np.ndarray, " room"] = np.zeros(1024, np.uint64)
        self._names: list[str] = []

    def add(self, name: str, bits: int) -> None:
        if len(self._names) == len(self._bits):
            self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
        self._bits[len(self._names)] = bits
        self._names.append(name)

    def nearest(self, bits: int) -> tuple[str, int] | None:
        """The first of the nearest within NEAR_BITS, and how many bits it is away."""
        if not self._names:
            return None
        distances = np.bitwise_count(self._bits[: len(self._names)] ^ np.uint64(bits))
        place = int(distances.argmin())
        away = int(distances[place])
        return (self._names[place], away) if away <= NEAR_BITS else None
