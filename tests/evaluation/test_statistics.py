"""Intervals against scipy, analytic values and coverage by simulation."""

import numpy as np
import pytest
import scipy.stats

from llava_jax.evaluation.statistics import (
    NOTHING,
    Tally,
    detectable_difference,
    difference_interval,
    interval,
    mcnemar,
    tally,
    wilson,
)


def ratios(numerators: np.ndarray, denominators: np.ndarray) -> Tally:
    return Tally(np.stack([numerators, denominators], axis=1))


def accuracy(answers: np.ndarray) -> Tally:
    """One question a cluster."""
    return ratios(answers.astype(float), np.ones(len(answers)))


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (3, 10), (10, 10), (480, 600)])
def test_wilson_equals_scipy(successes: int, trials: int) -> None:
    expected = scipy.stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_tally_sums_within_clusters() -> None:
    sums = tally(["b", "a", "b"], [1, 0, 2], [1, 1, 4])
    assert sums.sums.tolist() == [[0, 1], [3, 5]]
    assert sums.value == 0.5


def test_independent_answers_get_the_binomial_interval() -> None:
    answers = np.arange(800) % 10 < 7
    found = interval(accuracy(answers))
    half = 1.96 * (0.7 * 0.3 / 800) ** 0.5
    assert found.value == pytest.approx(0.7)
    assert (found.low, found.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.004)


def test_equals_scipys_bootstrap_of_a_ratio() -> None:
    rng = np.random.default_rng(1)
    asked = rng.integers(1, 5, 150).astype(float)
    right = rng.binomial(asked.astype(int), 0.6).astype(float)
    ours = interval(ratios(right, asked))
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
    apart = interval(accuracy(np.repeat(answers, 4)))
    together = interval(ratios(4.0 * answers, np.full(100, 4.0)))
    width = (together.high - together.low) / (apart.high - apart.low)
    assert width == pytest.approx(2, abs=0.15)  # four equal answers are worth one


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        found = interval(accuracy(rng.random(120) < 0.6))
        covered += found.low <= 0.6 <= found.high
    assert 180 <= covered <= 199


def test_unanimous_answers_still_have_a_width() -> None:
    perfect = interval(accuracy(np.ones(50, bool)))
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(wilson(50, 50)[0])
    nothing_named = ratios(np.zeros(5), np.zeros(5))
    assert nothing_named.value == 0
    assert interval(nothing_named) == NOTHING


def test_of_no_questions_nothing_is_known() -> None:
    figure = tally([], [], [], of=lambda sums: sums[..., 0])
    assert interval(figure) == NOTHING
    assert detectable_difference(figure) == 0


def test_differences_are_paired() -> None:
    rng = np.random.default_rng(4)
    hard = rng.random(300) < 0.5
    better = hard | (np.arange(300) % 10 == 0)
    gain = difference_interval(accuracy(better), accuracy(hard))
    assert gain.value == pytest.approx(better.mean() - hard.mean())
    assert gain.low > 0  # unpaired, the two intervals overlap widely
    assert interval(accuracy(better)).low < interval(accuracy(hard)).high
    spread = (better.astype(float) - hard).std() / 300**0.5
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * spread, rel=0.08)
    with pytest.raises(ValueError, match="same clusters"):
        difference_interval(accuracy(better), accuracy(hard[:100]))


def test_the_seed_fixes_the_interval() -> None:
    figure = ratios(np.arange(60) / 7, np.arange(60) + 1.0)
    assert interval(figure, seed=1) == interval(figure, seed=1)
    assert interval(figure, seed=1) != interval(figure, seed=2)


def test_any_function_of_sums_has_an_interval() -> None:
    rng = np.random.default_rng(5)
    truth, said = rng.random((2, 400)) < 0.5
    said |= truth & (rng.random(400) < 0.6)
    hits = truth & said
    clusters = [str(n // 2) for n in range(400)]
    f1 = tally(clusters, hits, said, truth, of=lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2]))
    found = interval(f1)
    assert found.value == pytest.approx(2 * hits.sum() / (said.sum() + truth.sum()))
    assert found.low < found.value < found.high
    same = interval(tally(clusters, 2 * hits, said.astype(int) + truth))  # F1 is a ratio of sums
    assert (found.low, found.high) == pytest.approx((same.low, same.high))


def test_detectable_differences_are_detected_as_often_as_is_said() -> None:
    rng = np.random.default_rng(6)
    gain = detectable_difference(accuracy(rng.random(1000) < 0.5))
    assert gain == pytest.approx(2.8 * (2 * 0.25 / 1000) ** 0.5, rel=0.05)
    z = abs(rng.binomial(1000, 0.5 + gain, 4000) - rng.binomial(1000, 0.5, 4000)) / 500**0.5
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.05)
    pair = accuracy(np.arange(100) < 60), accuracy(np.arange(100) < 50)
    assert detectable_difference(*pair) < detectable_difference(pair[0])


@pytest.mark.parametrize("counts", [(0, 0), (3, 3), (10, 2), (0, 7), (40, 61)])
def test_mcnemar_equals_the_binomial_test(counts: tuple[int, int]) -> None:
    expected = scipy.stats.binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    assert mcnemar(*counts) == pytest.approx(expected)
