"""Which records stand in which row, decided before the run from the survey's numbers alone."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Int64
from rich.console import Console
from rich.progress import track

from llava_jax.data.order import group_epochs, shuffled_mixture
from llava_jax.data.packing import pack
from llava_jax.data.survey import Survey
from llava_jax.errors import UserError

Group = Literal["none", "modality_length"]
Item = TypeVar("Item")

_NOTICEABLE = 50_000  # rows or records that take seconds: worth a progress bar


@dataclass(frozen=True)
class BatchShape:
    """rows: of the global batch; length: tokens a row; images: image slots a row; targets: learned
    tokens that a row may hold (0: any number).
    """

    rows: int
    length: int
    images: int
    targets: int = 0

    @property
    def room(self) -> tuple[int, int, int]:
        """Tokens, images and learned tokens that a row has room for."""
        return self.length, self.images, self.targets or self.length


@dataclass(frozen=True)
class Plan:
    """Row r holds records[starts[r]:starts[r + 1]]; records are counted through all sources.

    fill: the share of the rows' positions that holds tokens. targets: learned tokens of the row
    that has most. fingerprint: of all that decides about the order of records.
    """

    records: Int64[np.ndarray, " samples"]
    starts: Int64[np.ndarray, " rows_and_end"]
    fill: float
    targets: int
    fingerprint: str

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    def row(self, number: int) -> list[int]:
        """A row's records; none for rows after the last, which fill up the last batch."""
        if number >= self.rows:
            return []
        return self.records[self.starts[number] : self.starts[number + 1]].tolist()


def make_plan(
    found: Sequence[Survey],
    weights: Sequence[float | None],
    shape: BatchShape,
    *,
    seed: int,
    epochs: float | None = None,
    steps: int | None = None,
    pack_rows: bool = False,
    group: Group = "none",
) -> Plan:
    """The rows of a whole run over the usable records of some sources.

    weights: shares of the sources, relative to each other; None: its number of records. With None
      for all, an epoch holds every record once.
    epochs, steps: one of them; an epoch is as many samples as there are usable records.
    pack_rows: as many samples a row as fit, instead of one. Raises UserError for impossible
    numbers.
    """
    if (epochs is None) == (steps is None) or (epochs or steps or 0) <= 0:
        raise UserError("give either epochs or steps, above 0")
    sizes = [int(numbers.usable.sum()) for numbers in found]
    shares = None
    if any(weight is not None for weight in weights):
        shares = [
            float(size if weight is None else weight)
            for weight, size in zip(weights, sizes, strict=True)
        ]
        if min(shares) <= 0:
            raise UserError("a source's weight must be above 0: leave out unwanted sources")
    usable = np.flatnonzero(np.concatenate([numbers.usable for numbers in found]))
    columns = [(numbers.lengths, numbers.images, numbers.supervised) for numbers in found]
    needs = np.concatenate(columns, axis=1).T.astype(np.int64)

    order: Iterator[int] = (int(usable[i]) for i in shuffled_mixture(sizes, shares, seed))
    if group == "modality_length":
        lengths = np.where(needs[:, 1] > 0, needs[:, 0], -needs[:, 0])
        order = group_epochs(order, len(usable), lengths, shape.rows, seed)
    if epochs is not None:
        order = _watched(order, max(1, round(epochs * len(usable))))
    rows = pack(order, needs, shape.room) if pack_rows else ([record] for record in order)
    members = list(rows if steps is None else _watched(rows, steps * shape.rows))

    records = np.array([record for row in members for record in row], np.int64)
    starts = np.cumsum([0, *(len(row) for row in members)])
    choices = repr((shares, seed, shape.room, pack_rows, group, group != "none" and shape.rows))
    digest = hashlib.sha256(choices.encode() + needs.tobytes() + usable.tobytes())
    return Plan(
        records,
        starts,
        fill=float(needs[records, 0].sum() / (len(members) * shape.length)),
        targets=int(np.add.reduceat(needs[records, 2], starts[:-1]).max()),
        fingerprint=digest.hexdigest()[:32],
    )


def _watched(items: Iterable[Item], count: int) -> Iterator[Item]:
    """The first `count` items, under a progress bar with the time that remains."""
    yield from track(
        islice(items, count),
        "planning rows",
        total=count,
        console=Console(stderr=True),
        transient=True,
        disable=count < _NOTICEABLE,
    )
