"""Whether the images that scenes are about are there."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.scene import Scene
from llava_jax.problems import Problems


def with_images(scenes: Iterable[Scene], folder: Path, problems: Problems) -> list[Scene]:
    """The scenes whose image in the folder can be decoded; the others are noted.

    Raises UserError where the folder does not exist, or not one image is in it.
    """
    if not folder.is_dir():
        raise UserError(f"the image folder {folder} does not exist; give the one with the images")
    kept = []
    for scene in scenes:
        problem = _problem(folder / scene.image)
        if problem:
            problems.note(problem, scene.image)
        else:
            kept.append(scene)
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
