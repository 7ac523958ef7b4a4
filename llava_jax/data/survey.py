"""Every record measured once, before training: what packing, grouping and the doctor go by."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int32
from rich.console import Console
from rich.progress import track

from llava_jax.data.records import Source
from llava_jax.data.samples import Encode
from llava_jax.errors import UserError
from llava_jax.text.encode import EncodeError

NOTICEABLE = 5_000  # records that take seconds: worth a progress bar


@dataclass(frozen=True)
class Survey:
    """Numbers of each record, in order.

    lengths: tokens, images expanded, after the cut; supervised: how many of them are learned;
    markers: images that the text speaks of; images: those that the record has. All are 0 where
    the record cannot be encoded. problems: why nothing can be learned from a record, by its place.
    """

    lengths: Int32[np.ndarray, " n"]
    supervised: Int32[np.ndarray, " n"]
    markers: Int32[np.ndarray, " n"]
    images: Int32[np.ndarray, " n"]
    problems: dict[int, str]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def usable(self) -> Bool[np.ndarray, " n"]:
        """Records that hold something to learn; the others are left out of training."""
        return self.supervised > 0


def survey(
    source: Source,
    encode: Encode,
    places: Sequence[int] | None = None,
    cache: Path | None = None,
) -> Survey:
    """Encodes each record (or those at `places`) once and keeps the numbers. Reads no images.

    cache: a folder where the numbers of a whole source stay; they are found again as long as
    neither the stored data nor the encoding changes.
    """
    if places is not None or cache is None:
        return _measure(source, encode, range(len(source)) if places is None else places)
    key = hashlib.sha256(f"{source.fingerprint()} {encode.fingerprint()}".encode()).hexdigest()
    path = cache / f"survey_{key[:32]}.npz"
    if path.exists():
        stored = np.load(path)
        problems = json.loads(str(stored["problems"]))
        return _to_survey(stored["numbers"], {int(at): why for at, why in problems.items()})
    found = _measure(source, encode, range(len(source)))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.npz")
        numbers = np.stack([found.lengths, found.supervised, found.markers, found.images])
        np.savez(unfinished, numbers=numbers, problems=json.dumps(found.problems))
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"cannot write to the cache {cache}: {error.strerror}") from error
    return found


def _measure(source: Source, encode: Encode, places: Sequence[int]) -> Survey:
    numbers = np.zeros((4, len(places)), np.int32)
    problems = {}
    progress = track(
        places,
        f"reading {source.name}",
        console=Console(stderr=True),
        transient=True,
        disable=len(places) < NOTICEABLE,
    )
    for column, place in enumerate(progress):
        record = source[place]
        try:
            sample = encode(record)
        except EncodeError as error:
            problems[column] = f"record {place} (id {record.id!r}): {error}"
            continue
        # the first token has nothing before it to be predicted from
        supervised = int(sample.loss_mask[1:].sum())
        numbers[:, column] = len(sample.tokens), supervised, sample.images, len(record.images)
        if not supervised:
            problems[column] = (
                f"record {place} (id {record.id!r}): what is to be learned "
                f"lies beyond the {encode.max_length} tokens that are kept"
            )
    return _to_survey(numbers, problems)


def _to_survey(numbers: Int32[np.ndarray, "4 n"], problems: dict[int, str]) -> Survey:
    lengths, supervised, markers, images = numbers
    return Survey(lengths, supervised, markers, images, problems)
