"""In which order records come: shuffled, mixed by weight, epoch after epoch, without end."""

from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import cast

import grain
import numpy as np
from jaxtyping import Int64

from llava_jax.data.grouping import group_by_modality_and_length


def shuffled_mixture(
    sizes: Sequence[int], weights: Sequence[float] | None, seed: int
) -> Iterator[int]:
    """Numbers of records, counted through all sources, as an endless pure function of the seed.

    weights: each source is shuffled anew whenever it has been through, and gives its share of
    every stretch. None: all sources are shuffled together, and each epoch (as many records as
    there are) holds every record once.
    """
    seeds = np.random.SeedSequence(seed).generate_state(len(sizes)).tolist()
    if weights is None:
        mixed = grain.MapDataset.range(sum(sizes)).shuffle(seed=seeds[0]).repeat()
    else:
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).tolist()
        parts = [
            grain.MapDataset.range(start, start + size).shuffle(seed=part_seed).repeat()
            for start, size, part_seed in zip(starts, sizes, seeds, strict=True)
        ]
        mixed = grain.MapDataset.mix(parts, [weight / sum(weights) for weight in weights])
    return (cast(int, mixed[number]) for number in count())


def group_epochs(
    records: Iterator[int],
    epoch: int,
    lengths: Int64[np.ndarray, " n"],
    batch: int,
    seed: int,
) -> Iterator[int]:
    """The same records with like ones in the same batch, within each epoch of that many records.

    lengths: of all records, negative where they have no image.
    """
    for number in count():
        members = np.fromiter(islice(records, epoch), np.int64)
        permute = np.random.default_rng([seed, number]).permutation
        grouped = group_by_modality_and_length(lengths[members], batch, 1, permute)
        yield from members[grouped].tolist()
