"""Uncertainty of figures whose questions come in clusters: several about one image.

A figure is a ratio of sums (right answers over questions, hits over names given), so accuracy,
precision and recall are treated alike: images are drawn anew with replacement, the ratio is taken
of the sums (cluster bootstrap, percentile interval).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

LEVEL = 0.95  # of every interval
DRAWS = 4000
BLOCK = 100  # draws at a time, to bound memory


@dataclass(frozen=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """Numerators and denominators of one figure, summed within each cluster (image)."""

    numerators: Float[np.ndarray, " clusters"]
    denominators: Float[np.ndarray, " clusters"]

    @property
    def value(self) -> float:
        """The ratio of sums; 0 where nothing was counted (precision when nothing is named)."""
        total = self.denominators.sum()
        return float(self.numerators.sum() / total) if total else 0.0


def tally(clusters: Sequence[str], numerators: Sequence[int], denominators: Sequence[int]) -> Tally:
    """Sums by cluster, clusters in sorted order: tallies over the same questions are paired."""
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    return Tally(
        np.bincount(index, numerators, len(names)), np.bincount(index, denominators, len(names))
    )


def ratio_interval(figure: Tally, seed: int = 0) -> Interval:
    """Cluster-bootstrap interval of the ratio.

    Clusters that all agree on 0 or 1 leave the bootstrap no width; there Wilson's interval for that
    many clusters is given instead.
    """
    value = figure.value
    if value in (0.0, 1.0):
        counted = int((figure.denominators > 0).sum())
        return Interval(value, *wilson(int(value) * counted, counted)) if counted else NOTHING
    return Interval(value, *_percentiles(_resampled(figure, seed)))


def difference_interval(figure: Tally, other: Tally, seed: int = 0) -> Interval:
    """figure - other over the same clusters, which are drawn together (paired bootstrap)."""
    if len(figure.numerators) != len(other.numerators):
        raise ValueError("a paired difference needs the same clusters on both sides")
    draws = _resampled(figure, seed) - _resampled(other, seed)
    return Interval(figure.value - other.value, *_percentiles(draws))


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion; trials > 0."""
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    share = successes / trials
    scale = 1 + z**2 / trials
    middle = (share + z**2 / (2 * trials)) / scale
    half = z / scale * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


NOTHING = Interval(0.0, 0.0, 1.0)  # nothing counted: nothing known


def _resampled(figure: Tally, seed: int) -> Float[np.ndarray, " draws"]:
    """The ratio in each bootstrap draw; the same seed and clusters draw the same clusters."""
    rng = np.random.default_rng(seed)
    clusters = len(figure.numerators)
    ratios = np.empty(DRAWS)
    for start in range(0, DRAWS, BLOCK):
        drawn = rng.integers(clusters, size=(BLOCK, clusters))
        numerators = figure.numerators[drawn].sum(axis=1)
        denominators = figure.denominators[drawn].sum(axis=1)
        ratios[start : start + BLOCK] = numerators / np.where(denominators, denominators, 1.0)
    return ratios


def _percentiles(draws: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)
