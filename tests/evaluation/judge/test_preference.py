"""Win rates with and without length, and the paper's ratio between two models."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize

from llava_jax.evaluation.judge.judgement import Judgement
from llava_jax.evaluation.judge.preference import length_controlled_win_rate, logistic
from llava_jax.evaluation.judge.relative import compared, relative_scores, win_rates
from llava_jax.evaluation.statistics import interval
from tests.evaluation.judge.items import judged, made_items


def biased(at_equal_length: float, per_length: float, count: int = 4000) -> Judgement:
    """A judge who likes long answers, of a candidate whose answers are mostly longer."""
    rng = np.random.default_rng(0)
    longer = rng.normal(30, 40, count).astype(int)
    items = [
        replace(item, reference="r" * 300, candidate="c" * (300 + extra))
        for item, extra in zip(made_items(count), longer, strict=True)
    ]
    odds = at_equal_length + per_length * np.tanh(longer / longer.std())
    wins = rng.random(count) < 1 / (1 + np.exp(-odds))
    return judged(items, [(0.0, 1.0) if win else (1.0, 0.0) for win in wins])


def test_length_controlled_win_rate_finds_the_rate_at_equal_lengths() -> None:
    judgement = biased(at_equal_length=-0.4, per_length=1.5)
    truth = 1 / (1 + np.exp(0.4))
    plain, controlled = win_rates(judgement)["all"].value, length_controlled_win_rate(judgement)
    assert plain > 0.5 > controlled.high  # length alone made it win
    assert controlled.low < truth < controlled.high
    assert controlled.value == pytest.approx(truth, abs=0.03)
    assert 0.03 < controlled.high - controlled.low < 0.06


def test_without_a_bias_the_control_changes_nothing() -> None:
    judgement = biased(at_equal_length=0.5, per_length=0.0)
    assert length_controlled_win_rate(judgement).value == pytest.approx(
        win_rates(judgement)["all"].value, abs=0.02
    )


def test_newton_finds_what_scipy_finds() -> None:
    rng = np.random.default_rng(1)
    inputs = np.stack([np.ones(80), rng.normal(size=80)], axis=1)
    wins = rng.choice([0.0, 0.5, 1.0], 80)

    def loss(weights: np.ndarray) -> float:
        odds = inputs @ weights
        return (np.logaddexp(0, odds) - wins * odds).sum() + 0.005 * (weights**2).sum()

    expected = scipy.optimize.minimize(loss, np.zeros(2), tol=1e-12).x
    assert logistic(inputs, wins) == pytest.approx(expected, abs=1e-5)
    decided = logistic(inputs, (inputs[:, 1] > 0).astype(float))  # length decides every item
    assert np.isfinite(decided).all() and decided[1] > 5


def test_where_length_shows_nothing_it_is_the_plain_rate() -> None:
    items = [replace(item, candidate="c" * int(item.id)) for item in made_items(6)]
    for judgement in (
        judged(items, [(0.0, 1.0)] * 6),
        judged([replace(item, candidate=item.reference) for item in items], [(1.0, 1.0)] * 6),
    ):
        assert length_controlled_win_rate(judgement) == interval(win_rates(judgement)["all"])


def test_ratios_of_means_by_category_and_between_models() -> None:
    items = made_items(20, "conv") + [
        replace(item, id="d" + item.id, category="detail") for item in made_items(20)
    ]
    better = judged(items, [(8.0, 6.0 + n % 3) for n in range(20)] + [(10.0, 10.0)] * 20)
    worse = judged(items, [(8.0, 5.0 + n % 3) for n in range(20)] + [(10.0, 10.0)] * 19 + [None])
    scores = relative_scores(better)
    assert scores["conv"].value == pytest.approx(sum(6 + n % 3 for n in range(20)) / 160)
    assert scores["detail"].value == 1
    assert interval(scores["detail"]).low == 1  # not Wilson's: 1 is no limit here
    assert len(scores["all"].sums) == 10  # images, which both categories share
    difference = compared(better, worse)
    assert difference["conv"] == pytest.approx({"value": 1 / 8, "low": 1 / 8, "high": 1 / 8})
    assert difference["detail"]["value"] == 0
