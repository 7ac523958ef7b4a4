"""Intervals against scipy, analytic values and coverage by simulation."""

import numpy as np
import pytest
import scipy.stats

from llava_jax.evaluation.statistics import (
    NOTHING,
    Tally,
    difference_interval,
    ratio_interval,
    tally,
    wilson,
)


def accuracy(answers: np.ndarray) -> Tally:
    """One question a cluster."""
    return Tally(answers.astype(float), np.ones(len(answers)))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (480, 600)])
def test_wilson_equals_scipy(successes: int, trials: int) -> None:
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_tally_sums_within_clusters() -> None:
    sums = tally(["b", "a", "b"], [1, 0, 2], [1, 1, 4])
    assert sums.numerators.tolist() == [0, 3]
    assert sums.denominators.tolist() == [1, 5]
    assert sums.value == 0.5


def test_independent_answers_get_the_binomial_interval() -> None:
    answers = np.arange(800) % 10 < 7
    interval = ratio_interval(accuracy(answers))
    half = 1.96 * (0.7 * 0.3 / 800) ** 0.5
    assert interval.value == pytest.approx(0.7)
    assert (interval.low, interval.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.004)


def test_equals_scipys_bootstrap_of_a_ratio() -> None:
    rng = np.random.default_rng(1)
    asked = rng.integers(1, 5, 150).astype(float)
    right = rng.binomial(asked.astype(int), 0.6).astype(float)
    ours = ratio_interval(Tally(right, asked))
    theirs = scipy.stats.bootstrap(
        (right, asked),
        lambda r, a, axis: r.sum(axis) / a.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=4000,
        rng=np.random.default_rng(0),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.004)


def test_answers_that_agree_within_an_image_widen_the_interval() -> None:
    answers = np.arange(100) % 2 == 0
    apart = ratio_interval(accuracy(np.repeat(answers, 4)))
    together = ratio_interval(Tally(4.0 * answers, np.full(100, 4.0)))
    width = (together.high - together.low) / (apart.high - apart.low)
    assert width == pytest.approx(2, abs=0.15)  # four equal answers are worth one


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        interval = ratio_interval(accuracy(rng.random(120) < 0.6))
        covered += interval.low <= 0.6 <= interval.high
    assert 180 <= covered <= 199


def test_unanimous_answers_still_have_a_width() -> None:
    perfect = ratio_interval(accuracy(np.ones(50, bool)))
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(wilson(50, 50)[0])
    nothing_named = Tally(np.zeros(5), np.zeros(5))
    assert nothing_named.value == 0
    assert ratio_interval(nothing_named) == NOTHING


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(4)
    hard = rng.random(300) < 0.5
    better = hard | (np.arange(300) % 10 == 0)
    gain = difference_interval(accuracy(better), accuracy(hard))
    assert gain.value == pytest.approx(better.mean() - hard.mean())
    assert gain.low > 0  # unpaired, the two intervals overlap widely
    assert ratio_interval(accuracy(better)).low < ratio_interval(accuracy(hard)).high
    spread = (better.astype(float) - hard).std() / 300**0.5
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * spread, rel=0.08)
    with pytest.raises(ValueError, match="same clusters"):
        difference_interval(accuracy(better), accuracy(hard[:100]))


def test_the_seed_fixes_the_interval() -> None:
    figure = Tally(np.arange(60) / 7, np.arange(60) + 1.0)
    assert ratio_interval(figure, seed=1) == ratio_interval(figure, seed=1)
    assert ratio_interval(figure, seed=1) != ratio_interval(figure, seed=2)
