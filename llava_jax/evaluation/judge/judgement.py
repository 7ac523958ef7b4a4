"""What is judged, and what a judge said of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

MOST_INVALID = 0.02  # share of unreadable verdicts above which there is no headline

Marks = tuple[float, float]  # of the reference's answer and of the candidate's
Order = Literal["reference first", "candidate first"]
ORDERS: tuple[Order, ...] = ("reference first", "candidate first")


@dataclass(frozen=True)
class Item:
    """Two answers to a question, which a judge compares without seeing the image.

    id: unique among the items. context: what the judge is told of the image. reference: the answer
    to measure against: GPT-4's, or another model's. cluster: the image.
    """

    id: str
    context: str
    question: str
    reference: str
    candidate: str
    cluster: str
    category: str


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one item, its answers shown in one order.

    text: the judge's words; "" if there are none. marks: None where they cannot be read.
    asked: how often the judge was asked; 0 where a file of reviews holds none of the item.
    problem: why the judge gave no usable answer, as "timeout: no answer in 60 seconds".
    """

    item: str
    order: Order
    text: str
    marks: Marks | None
    asked: int = 1
    problem: str = ""


@dataclass(frozen=True)
class Judgement:
    """All that one judge said: of each item a verdict in one order, or in both.

    judge: family:model, or another name where that is not known.
    """

    judge: str
    items: tuple[Item, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def family(self) -> str:
        return self.judge.partition(":")[0]

    @cached_property
    def marks(self) -> dict[str, Marks]:
        """By item, the mean over the orders, so that a liking for a place cancels.

        Items with an unreadable verdict are left out: one order alone would not be fair.
        """
        marks = {}
        for item in self.items:
            said = [verdict.marks for verdict in self._of[item.id]]
            readable = [pair for pair in said if pair is not None]
            if said and len(readable) == len(said):
                reference, candidate = np.mean(readable, axis=0)
                marks[item.id] = (float(reference), float(candidate))
        return marks

    @property
    def read(self) -> tuple[Item, ...]:
        """The items that have marks."""
        return tuple(item for item in self.items if item.id in self.marks)

    @property
    def invalid(self) -> int:
        """Verdicts that cannot be read, after they were asked for again."""
        return sum(verdict.marks is None for verdict in self.verdicts)

    @property
    def invalid_share(self) -> float:
        return self.invalid / len(self.verdicts) if self.verdicts else 1.0

    @property
    def void(self) -> str:
        """Why no headline may be drawn from this; "" if one may."""
        if self.invalid_share <= MOST_INVALID:
            return ""
        return (
            f"{self.judge} gave {self.invalid} of {len(self.verdicts)} verdicts unreadably "
            f"({self.invalid_share:.1%}, at most {MOST_INVALID:.0%} allowed): take another judge, "
            "or see its words"
        )

    @property
    def flip_rate(self) -> float | None:
        """The share of items whose outcome (better, worse, even) changes with the order.

        None where no item was read in both orders.
        """
        pairs = self._both_orders()
        flips = [preference(first) != preference(second) for first, second in pairs]
        return float(np.mean(flips)) if flips else None

    @property
    def first_place_gain(self) -> float | None:
        """By how much an answer's mark rises, on average, when it is shown first, not second."""
        pairs = self._both_orders()
        gains = [(a[0] - b[0] + b[1] - a[1]) / 2 for a, b in pairs]
        return float(np.mean(gains)) if gains else None

    def only(self, order: Order) -> "Judgement":
        """The verdicts of one order."""
        return replace(self, verdicts=tuple(v for v in self.verdicts if v.order == order))

    def of(self, items: Iterable[Item]) -> "Judgement":
        """What was said of some of the items."""
        items = tuple(items)
        ids = {item.id for item in items}
        return replace(self, items=items, verdicts=tuple(v for v in self.verdicts if v.item in ids))

    @cached_property
    def _of(self) -> dict[str, list[Verdict]]:
        of: dict[str, list[Verdict]] = {item.id: [] for item in self.items}
        for verdict in self.verdicts:
            of[verdict.item].append(verdict)
        return of

    def _both_orders(self) -> Sequence[tuple[Marks, Marks]]:
        pairs = []
        for verdicts in self._of.values():
            marks = {verdict.order: verdict.marks for verdict in verdicts}
            first, second = (marks.get(order) for order in ORDERS)
            if first is not None and second is not None:
                pairs.append((first, second))
        return pairs


def preference(marks: Marks) -> float:
    """1 where the candidate's answer is better, 0 where the reference's is, 0.5 for even ones."""
    reference, candidate = marks
    return 0.5 if reference == candidate else float(candidate > reference)
