"""LLaVA's figure: how much of the reference's marks the candidate gets, over all and by category.

A ratio of means, not a mean of ratios: 1 where the candidate is as good as the reference.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from llava_jax.evaluation.judge.judgement import Item, Judgement, Marks, preference
from llava_jax.evaluation.statistics import Tally, difference_interval, ratio, tally

Columns = Callable[[Marks], tuple[float, float]]  # what a figure sums of an item, and divides by


def relative(sums: np.ndarray) -> np.ndarray | np.floating:
    """`ratio`, where 0 and 1 are no limits as they are of a share."""
    return ratio(sums)


def relative_scores(judgement: Judgement) -> dict[str, Tally]:
    """The candidate's marks over the reference's; "all" and each category, by image."""
    return _by_category(judgement, lambda marks: (marks[1], marks[0]), relative)


def paper_scores(judgement: Judgement) -> dict[str, Tally]:
    """The paper's: of the verdicts with the reference first alone."""
    return relative_scores(judgement.only("reference first"))


def win_rates(judgement: Judgement) -> dict[str, Tally]:
    """The share of items that the candidate wins, an even one counting half; keys as above."""
    return _by_category(judgement, lambda marks: (preference(marks), 1.0), ratio)


def compared(first: Judgement, second: Judgement) -> dict[str, dict[str, float]]:
    """Relative score of one model less another's, with a paired interval; keys as above.

    Both were judged on the same questions; those that were read for both count.
    """
    shared = {item.id for item in first.read} & {item.id for item in second.read}
    ours, theirs = (
        relative_scores(judgement.of(item for item in judgement.items if item.id in shared))
        for judgement in (first, second)
    )
    return {name: asdict(difference_interval(ours[name], theirs[name])) for name in ours}


def _by_category(
    judgement: Judgement, columns: Columns, of: Callable[[np.ndarray], Any]
) -> dict[str, Tally]:
    def counted(items: Iterable[Item]) -> Tally:
        items = list(items)
        pairs = [columns(judgement.marks[item.id]) for item in items]
        return tally([item.cluster for item in items], *np.array(pairs).reshape(-1, 2).T, of=of)

    categories = dict.fromkeys(item.category for item in judgement.read)
    of_category = {
        name: counted(item for item in judgement.read if item.category == name)
        for name in categories
    }
    return {"all": counted(judgement.read)} | of_category
