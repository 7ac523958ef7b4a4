"""Measures of agreement between raters; nan where one is not defined."""

from typing import Literal

import numpy as np
from jaxtyping import Float

Level = Literal["nominal", "ordinal", "interval"]


def cohens_kappa(
    first: Float[np.ndarray, " items"],
    second: Float[np.ndarray, " items"],
    quadratic: bool = False,
) -> float:
    """1 - observed over expected disagreement of two raters (Cohen, 1960).

    quadratic: a disagreement weighs as the square of the difference (Cohen, 1968), else as 1. nan
    where both say the same of all items.
    """
    if quadratic:
        observed = ((first - second) ** 2).mean()
        expected = ((first[:, None] - second) ** 2).mean()
    else:
        observed = (first != second).mean()
        expected = (first[:, None] != second).mean()
    return float(1 - observed / expected) if expected else float("nan")


def spearman(first: Float[np.ndarray, " items"], second: Float[np.ndarray, " items"]) -> float:
    """Correlation of ranks, equal values sharing the mean of theirs; nan where all are equal."""
    ranks = np.stack([_ranks(first), _ranks(second)])
    if (ranks.std(axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(ranks)[0, 1])


def krippendorffs_alpha(ratings: Float[np.ndarray, "raters items"], level: Level) -> float:
    """1 - observed over expected disagreement of any number of raters (Krippendorff, 2011).

    ratings: nan where a rater did not rate an item; items with one rating do not count. level: how
    much two values differ: "nominal", by being different; "interval", by the square of their
    difference; "ordinal", by the square of the ratings that lie between. nan where all values are
    equal.
    """
    values, index = np.unique(ratings[~np.isnan(ratings)], return_inverse=True)
    counts = np.zeros((ratings.shape[1], len(values)))  # how often an item got a value
    np.add.at(counts, (np.nonzero(~np.isnan(ratings))[1], index), 1)
    counts = counts[counts.sum(axis=1) > 1]
    # Pairs of ratings of one item, each pair weighted so that an item weighs as its ratings do.
    weighted = counts / (counts.sum(axis=1, keepdims=True) - 1)
    pairs = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    totals = counts.sum(axis=0)
    distance = _squared_distance(values, totals, level)
    expected = (totals[:, None] * totals * distance).sum() / max(totals.sum() - 1, 1)
    return float(1 - (pairs * distance).sum() / expected) if expected else float("nan")


def _squared_distance(values: np.ndarray, totals: np.ndarray, level: Level) -> np.ndarray:
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values) ** 2
    middles = np.cumsum(totals) - totals / 2  # of the ranks of each value
    return (middles[:, None] - middles) ** 2


def _ranks(values: np.ndarray) -> np.ndarray:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]
