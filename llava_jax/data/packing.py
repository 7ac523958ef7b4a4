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

Needs = Int[np.ndarray, "n 3"]  # tokens, images, learned tokens
Room = Int[np.ndarray, "3"]
Worth = Int[np.ndarray, " n"]
Row = dict[str, np.ndarray]

_CLASSES = 16  # of length, about equally many records in each
_CANDIDATES = 96  # that have waited longest: all pairs of them are tried


def pack(
    records: Iterable[int],
    needs: Needs,
    room: Sequence[int],
    window: int = 512,
) -> Iterator[list[int]]:
    """Rows of records that together need no more than there is room for.

    records: their (shuffled, possibly endless) order, read `window` ahead. needs: of every record;
    none may need more than the room of a row (tokens, images, learned tokens).

    A row starts with the records that have waited longest, so none starves and rows stay as mixed
    as the order is; once there is room for two or three more, up to three that fill it best are
    looked for. (Placing the longest first, the textbook's way, wastes several times as much: the
    middling ones remain, and they don't fit together.)

    Best is not the most tokens: that spends the lengths which fit anywhere, and the window silts up
    with those that don't. So a record is worth its tokens, and more where its class of length
    waits in greater numbers than it has among all records: such prices settle near those of the
    cutting-stock problem's optimum, as the longest queue's do in scheduling (Tassiulas and
    Ephremides, 1992).
    """
    arrivals = iter(records)
    room_of_a_row = np.array(room)
    borders = np.quantile(needs[:, 0], np.arange(1, _CLASSES) / _CLASSES)
    classes = np.searchsorted(borders, needs[:, 0])
    share = np.bincount(classes, minlength=_CLASSES).clip(1) / len(needs)

    waiting = np.fromiter(islice(arrivals, window), np.int64)
    while len(waiting):
        here, lengths = classes[waiting], needs[waiting, 0]
        crowd = np.bincount(here, minlength=_CLASSES) / (share * len(waiting)) - 1
        worth = (lengths + crowd[here] * lengths.mean() / 2).astype(np.int64).clip(1)
        row = _fill_row(needs[waiting], worth, room_of_a_row)
        yield waiting[row].tolist()
        new = np.fromiter(islice(arrivals, len(row)), np.int64)
        waiting = np.concatenate([np.delete(waiting, row), new])


def _fill_row(needs: Needs, worth: Worth, room: Room) -> list[int]:
    """The worthiest row of those that the longest waiting begin and up to three others end."""
    typical = needs[:, 0].mean()
    best, most = [0], 0
    for begun in range(1, len(needs) + 1):
        room = room - needs[begun - 1]
        if (room < 0).any():
            break
        if room[0] >= 3.5 * typical and begun < len(needs):
            continue
        last = _best_fill(needs[begun:], worth[begun:], room)
        row = [*range(begun), *(begun + place for place in last)]
        if worth[row].sum() > most:
            best, most = row, worth[row].sum()
        if room[0] < 2.5 * typical:
            break
    return best


def _best_fill(needs: Needs, worth: Worth, room: Room) -> list[int]:
    """Up to three samples of the greatest worth that fit together; none if none fits."""
    fitting = np.flatnonzero((needs <= room).all(1))
    none = len(fitting)
    if not none:
        return []
    needs = np.append(needs[fitting], [[0, 0, 0]], axis=0)
    worth = np.append(worth[fitting], 0)
    first, second = np.triu_indices(min(none, _CANDIDATES), 1)
    first = np.concatenate([first, np.arange(none)])  # and every one without a second
    second = np.concatenate([second, np.full(none, none)])
    tokens, images, learned = needs.T
    tokens_left = room[0] - tokens[first] - tokens[second]
    images_left = room[1] - images[first] - images[second]
    fit = (tokens_left >= 0) & (images_left >= 0)
    first, second = first[fit], second[fit]

    worthiest = _worthiest_within(needs, worth, room)
    third = worthiest[np.minimum(images_left[fit], len(worthiest) - 1), tokens_left[fit]]
    used = learned[first] + learned[second]
    third[(third == first) | (third == second) | (used + learned[third] > room[2])] = none
    total = np.where(used <= room[2], worth[first] + worth[second] + worth[third], 0)
    best = total.argmax()
    chosen = {int(first[best]), int(second[best]), int(third[best])} - {none}
    return fitting[sorted(chosen)].tolist()


def _worthiest_within(needs: Needs, worth: Worth, room: Room) -> Int[np.ndarray, "images tokens"]:
    """The worthiest sample for each room of images and tokens; the last one needs nothing."""
    count = len(needs)
    keys = np.zeros((needs[:, 1].max() + 1, room[0] + 1), np.int64)
    ranked = worth * count + count - 1 - np.arange(count)  # of equals the one that waited longest
    np.maximum.at(keys, (needs[:, 1], needs[:, 0]), ranked)
    keys = np.maximum.accumulate(np.maximum.accumulate(keys, axis=1), axis=0)
    return count - 1 - keys % count


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
