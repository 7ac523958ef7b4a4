"""Uncertainty of figures whose questions come in clusters: several about one image.

A figure is a function of sums over its questions: right answers over questions (accuracy), twice
the hits over what was said and what was there (F1), the judge's marks over the reference's.
Clusters are drawn anew with replacement and the function is taken of the sums of what was drawn
(cluster bootstrap, percentile interval).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

LEVEL = 0.95  # of every interval
POWER = 0.8  # with which a difference is called detectable
DRAWS = 4000
BLOCK = 100  # draws at a time, to bound memory


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


# A figure of the totals [..., columns]: an array [...], or a number for one row of totals.
Figure = Callable[[np.ndarray], np.ndarray | np.floating]


def ratio(sums: Float[np.ndarray, "*draws columns"]) -> np.ndarray | np.floating:
    """The first column over the second; 0 where nothing was counted (precision of no names)."""
    return sums[..., 0] / np.where(sums[..., 1], sums[..., 1], 1.0)


@dataclass(frozen=True)
class Tally:
    """What a figure is made of. sums: within each cluster (image). of: the figure of the totals."""

    sums: Float[np.ndarray, "clusters columns"]
    of: Figure = ratio

    @property
    def value(self) -> float:
        return float(self.of(self.sums.sum(axis=0)))


def tally(
    clusters: Sequence[str],
    *columns: Sequence[int | float] | np.ndarray,
    of: Figure = ratio,
) -> Tally:
    """Sums by cluster, clusters in sorted order: tallies over the same questions are paired.

    columns: a number for each question, e.g. right answers and questions for `ratio`.
    """
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums = [np.bincount(index, column, len(names)) for column in columns]
    return Tally(np.stack(sums, axis=1).astype(float), of)


def interval(figure: Tally, seed: int = 0) -> Interval:
    """Cluster-bootstrap interval of a figure.

    A ratio whose clusters all agree on 0 or 1 leaves the bootstrap no width; there Wilson's
    interval for that many clusters is given instead.
    """
    value = figure.value
    if not len(figure.sums):
        return NOTHING
    if figure.of is ratio and value in (0.0, 1.0):
        counted = int((figure.sums[:, 1] > 0).sum())
        return Interval(value, *wilson(int(value) * counted, counted)) if counted else NOTHING
    return Interval(value, *_percentiles(_resampled(figure, seed)))


def difference_interval(figure: Tally, other: Tally, seed: int = 0) -> Interval:
    """figure - other over the same clusters, which are drawn together (paired bootstrap)."""
    draws = _differences(figure, other, seed)
    return Interval(figure.value - other.value, *_percentiles(draws))


def detectable_difference(figure: Tally, other: Tally | None = None, seed: int = 0) -> float:
    """The smallest true difference between two models that this many questions would mostly show.

    At the level of every interval here, in POWER of all repetitions. other: a second model's
    answers to the same questions; without one the two are taken as independent, the worst case.
    """
    if other is None:
        error = math.sqrt(2) * float(_resampled(figure, seed).std())
    else:
        error = float(_differences(figure, other, seed).std())
    normal = NormalDist()
    return (normal.inv_cdf(0.5 + LEVEL / 2) + normal.inv_cdf(POWER)) * error


def mcnemar(only_first: int, only_second: int) -> float:
    """McNemar's exact two-sided p: one of two models is right on so many questions alone."""
    trials = only_first + only_second
    tail = sum(math.comb(trials, k) for k in range(min(only_first, only_second) + 1))
    return min(1.0, 2 * tail / 2**trials)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion; trials > 0."""
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    share = successes / trials
    scale = 1 + z**2 / trials
    middle = (share + z**2 / (2 * trials)) / scale
    half = z / scale * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


NOTHING = Interval(0.0, 0.0, 1.0)  # nothing counted: nothing known


def _differences(figure: Tally, other: Tally, seed: int) -> Float[np.ndarray, " draws"]:
    if len(figure.sums) != len(other.sums):
        raise ValueError("a paired difference needs the same clusters on both sides")
    return _resampled(figure, seed) - _resampled(other, seed)


def _resampled(figure: Tally, seed: int) -> Float[np.ndarray, " draws"]:
    """The figure of each bootstrap draw; the same seed and clusters draw the same clusters."""
    rng = np.random.default_rng(seed)
    clusters = len(figure.sums)
    values = np.zeros(DRAWS)
    if not clusters:
        return values
    for start in range(0, DRAWS, BLOCK):
        drawn = rng.integers(clusters, size=(BLOCK, clusters))
        values[start : start + BLOCK] = figure.of(figure.sums[drawn].sum(axis=1))
    return values


def _percentiles(draws: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)
