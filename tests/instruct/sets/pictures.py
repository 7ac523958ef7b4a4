"""Pictures for tests that look different: coarse noise, made smooth."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC)


def save(image: Image.Image, folder: Path, name: str, quality: int = 95) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, quality=quality)
    return name
