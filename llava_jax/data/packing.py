"""Several samples in one row of the static batch, and a row as arrays.

Packing happens once, before training, on the survey's numbers alone: the plan of a run lists the
records of each row. So it is the same for every number of processes, workers and restarts; any row
can be made on its own; and a position in the data is one number.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from jaxtyping import Int

from llava_jax.data.samples import Sample

Needs = Int[np.ndarray, "_ 3"]  # tokens, images, learned tokens
Window = Int[np.ndarray, "_ 5"]  # needs, arrival, record; sorted by tokens
Row = dict[str, np.ndarray]


def pack(
    records: Iterable[int],
    needs: Needs,
    room: Sequence[int],
    window: int = 256,
) -> Iterator[list[int]]:
    """Rows of records that together need no more than there is room for.

    records: their (shuffled, possibly endless) order, read `window` ahead. needs: of every record;
    none may need more than the room of a row (tokens, images, learned tokens).

    A row starts with the records that have waited longest, so none starves and rows stay as mixed
    as the order is; once there is room for about two more, the one or two that fill it best are
    looked for. (Placing the longest first, the textbook's way, wastes several times as much: the
    middling ones remain, and they don't fit together.)
    """
    arrivals = enumerate(records)
    room_of_a_row = np.array(room)

    def refill(kept: Window, count: int) -> Window:
        new = [(*needs[record], i, record) for i, record in islice(arrivals, count)]
        joined = np.concatenate([kept, np.array(new, np.int64).reshape(-1, 5)])
        return joined[np.argsort(joined[:, 0], kind="stable")]

    waiting = refill(np.empty((0, 5), np.int64), window)
    while len(waiting):
        row, waiting = _fill_row(waiting, room_of_a_row)
        yield row
        waiting = refill(waiting, len(row))


def _fill_row(waiting: Window, room: Int[np.ndarray, "3"]) -> tuple[list[int], Window]:
    typical = waiting[:, 0].mean()
    row: list[int] = []
    while len(waiting):
        oldest = int(waiting[:, 3].argmin())
        fits = (waiting[oldest, :3] <= room).all()
        if fits and (not row or room[0] >= 2 * typical):
            picked = [oldest]
        else:
            picked = _best_fill(waiting[:, :3], room)
        if not picked:
            break
        row += waiting[picked, 4].tolist()
        room = room - waiting[picked, :3].sum(0)
        waiting = np.delete(waiting, picked, axis=0)
    return row, waiting


def _best_fill(needs: Needs, room: Int[np.ndarray, "3"]) -> list[int]:
    """The one or two samples that leave the least room; none if none fits."""
    fitting = np.flatnonzero((needs <= room).all(1))
    if not len(fitting):
        return []
    needs = needs[fitting]
    lengths = needs[:, 0]
    partner = np.searchsorted(lengths, room[0] - lengths, "right") - 1
    partner -= partner == np.arange(len(partner))  # nobody is their own
    together = needs + needs[partner]
    total = np.where((partner >= 0) & (together <= room).all(1), together[:, 0], 0)
    best = int(total.argmax())
    if total[best] > lengths[-1]:
        return [int(fitting[best]), int(fitting[partner[best]])]
    return [int(fitting[-1])]


def make_row(
    samples: Sequence[Sample],
    weights: Sequence[float],
    *,
    length: int,
    image_tokens: int,
    pad_id: int,
) -> Row:
    """One row of the static batch, its images left out.

    `tokens`, `positions`, `segments`, `image_slots` int32 and `loss_weights` float32, each
    [length]: samples stand one after another as segments 1, 2, ..., positions start at 0 in each,
    image slots count on from sample to sample, and what remains is padding: segment 0, slot -1. A
    segment's first token weighs nothing: what stands before it is another sample's.
    """
    row = {
        "tokens": np.full(length, pad_id, np.int32),
        "positions": np.zeros(length, np.int32),
        "segments": np.zeros(length, np.int32),
        "loss_weights": np.zeros(length, np.float32),
        "image_slots": np.full(length, -1, np.int32),
    }
    start = image = 0
    for number, (sample, weight) in enumerate(zip(samples, weights, strict=True), start=1):
        here = slice(start, start + len(sample.tokens))
        slots = sample.image_slots
        row["tokens"][here] = sample.tokens
        row["positions"][here] = np.arange(len(sample.tokens))
        row["segments"][here] = number
        row["loss_weights"][here] = weight * sample.loss_mask
        row["loss_weights"][start] = 0
        row["image_slots"][here] = np.where(slots >= 0, slots + image * image_tokens, -1)
        start += len(sample.tokens)
        image += sample.images
    return row
