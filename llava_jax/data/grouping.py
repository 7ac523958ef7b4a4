"""The original's way of batching like with like: by modality, then by length.

Follows LengthGroupedSampler in github.com/haotian-liu/LLaVA, llava/train/llava_trainer.py. With
static rows it saves no padding here; it is for training in the same order as the original does.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

Permute = Callable[[int], Sequence[int] | np.ndarray]  # n -> a random permutation of 0..n-1
Lengths = Int[np.ndarray, " _"]
Order = Int[np.ndarray, " _"]


def group_by_length(lengths: Lengths, batch: int, world: int, permute: Permute) -> Order:
    """Random groups of batch * world samples, each with its longest first, dealt to `world`
    workers so that their total lengths are even.
    """
    shuffled = np.asarray(permute(len(lengths)), np.int64)
    groups = []
    for group in _groups(shuffled, batch * world):
        by_length = group[np.argsort(-lengths[group], kind="stable")]
        groups += split_evenly(by_length, lengths, world)
    return np.concatenate(groups)


def group_by_modality_and_length(
    lengths: Lengths, batch: int, world: int, permute: Permute
) -> Order:
    """Groups of samples with images and groups without, in random order.

    lengths: positive with an image, negative for text only, never 0. permute is asked for the
    samples with images, those without, and the groups, in this order. The incomplete last groups
    of both kinds come last, as one mixed group in order of their numbers.
    """
    with_image, without = np.flatnonzero(lengths > 0), np.flatnonzero(lengths < 0)
    if not len(with_image) or not len(without):
        return group_by_length(lengths, batch, world, permute)
    groups, left_over = [], []
    for members in (with_image, without):
        order = group_by_length(np.abs(lengths[members]), batch, world, permute)
        *complete, last = _groups(members[order], batch * world)
        groups += complete
        left_over.append(last)
    shuffled = [groups[i] for i in permute(len(groups))]
    return np.concatenate([*shuffled, np.sort(np.concatenate(left_over))])


def split_evenly(members: Order, lengths: Lengths, parts: int) -> list[Order]:
    """Deals members out, each to the part with the least so far, until each part has its share.

    If they don't divide evenly they are dealt out in turn.
    """
    if len(members) % parts:
        return [members[i::parts] for i in range(parts)]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    totals = np.zeros(parts)
    for member in members:
        least = int(totals.argmin())
        dealt[least].append(int(member))
        totals[least] += lengths[member]
        if len(dealt[least]) == len(members) // parts:
            totals[least] = np.inf
    return [np.array(part, np.int64) for part in dealt]


def _groups(members: Order, size: int) -> list[Order]:
    return [members[start : start + size] for start in range(0, len(members), size)]
