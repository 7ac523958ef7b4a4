"""The files of the images that scenes are about."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.scene import Scene
from llava_jax.problems import Problems

_COCO_PREFIX = re.compile(r"^COCO_(train|val|test)20\d\d_")


def image_id(name: str) -> str:
    """The same for an image in all folders, formats and releases of COCO.

    "train2014/COCO_val2014_000000441147.jpg" and "000000441147.png" are both "000000441147".
    """
    return _COCO_PREFIX.sub("", PurePosixPath(name).stem)


def with_images(scenes: Iterable[Scene], folder: Path, problems: Problems) -> list[Scene]:
    """The scenes whose image in the folder can be decoded; the others are noted.

    A file by another release's name of the image is taken for it.
    Raises UserError where the folder does not exist, or not one image is in it.
    """
    if not folder.is_dir():
        raise UserError(f"the image folder {folder} does not exist; give the one with the images")
    others = {image_id(file.name): file.name for file in sorted(folder.iterdir())}
    kept = []
    for scene in scenes:
        name = scene.image
        if not (folder / name).exists():
            name = others.get(image_id(name), name)
        problem = _problem(folder / name)
        if problem:
            problems.note(problem, scene.image)
        else:
            kept.append(replace(scene, image=name))
    if not kept:
        raise UserError(f"no scene's image can be read in {folder}; give the folder of its images")
    return kept


def _problem(path: Path) -> str:
    """What is wrong with an image file, "" for nothing."""
    if not path.is_file():
        return "missing image"
    try:
        with Image.open(path) as image:
            image.draft("RGB", (1, 1))  # a JPEG is read to its end, but decoded at an eighth
            image.load()
    except Exception:  # decoders raise nearly anything on malformed bytes
        return "unreadable image"
    return ""
