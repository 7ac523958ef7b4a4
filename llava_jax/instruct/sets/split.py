"""Train and held-out parts that share no image."""

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from llava_jax.instruct.importers.pictures import image_id

T = TypeVar("T")


def is_held_out(image: str, share: float, seed: int) -> bool:
    """Whether an image belongs to the held-out part of about `share` of them.

    By a hash of its id and the seed alone: adding data moves no image across, and the names that
    one image has in different folders and releases fall on one side.
    """
    digest = hashlib.sha256(f"{seed}/{image_id(image)}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def split(
    items: Iterable[T], image_of: Callable[[T], str], share: float, seed: int
) -> tuple[list[T], list[T]]:
    """(train, held out). image_of: its image's name; another id of its scene where it has none.

    Two files of one picture can fall apart: leave out duplicates first.
    """
    train: list[T] = []
    held_out: list[T] = []
    for item in items:
        (held_out if is_held_out(image_of(item), share, seed) else train).append(item)
    return train, held_out
