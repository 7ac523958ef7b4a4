"""Measures of agreement against scipy, a published worked example and scikit-learn's values."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from llava_jax.errors import UserError
from llava_jax.evaluation.judge.agreement import agreement, people_prefer, read_ratings
from llava_jax.evaluation.judge.agreement_measures import (
    cohens_kappa,
    krippendorffs_alpha,
    spearman,
)
from llava_jax.problems import Problems

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers.
OBSERVERS = ["123321412...", "12332241 25.3".replace(" ", ""), ".3332342251.", "12332441251."]
RATINGS = np.array([[np.nan if c == "." else float(c) for c in row] for row in OBSERVERS])


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_of_krippendorffs_example(level: str, published: float) -> None:
    assert krippendorffs_alpha(RATINGS, level) == pytest.approx(published, abs=5e-4)


def test_kappas_equal_scikit_learns() -> None:
    first = np.array([1, 2, 3, 3, 2, 1, 4, 1, 2, 5, 3, 3], float)
    second = np.array([1, 3, 3, 3, 2, 2, 4, 2, 2, 4, 1, 3], float)
    assert cohens_kappa(first, second) == pytest.approx(4 / 9)  # sklearn 1.9.1
    assert cohens_kappa(first, second, quadratic=True) == pytest.approx(5 / 7)


def test_spearman_equals_scipys_with_ties() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(1, 6, (2, 50)).astype(float)
    assert spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)


def test_what_is_not_defined_is_nan() -> None:
    same = np.full(4, 3.0)
    assert np.isnan([cohens_kappa(same, same), spearman(same, np.arange(4.0))]).all()
    assert np.isnan(krippendorffs_alpha(np.stack([same, same]), "interval"))


def test_a_judge_beside_people(tmp_path: Path) -> None:
    lines = ["item,rater,rating"]
    for rater, row in zip("ABCD", OBSERVERS, strict=True):
        lines += [f"{n},{rater},{c}" for n, c in enumerate(row) if c != "."]
    lines += ["0,A,2", "0,A,1", "5,A,good", "5,A,nan"]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    problems = Problems()
    ratings = read_ratings(tmp_path / "people.csv", problems)
    assert problems.counts == {
        "item rated again by the same rater (the last rating stands)": 2,
        "rating that is no number": 2,
    }
    # A judge that says what D says, but for fractions, of all items that D rated and one more.
    judge = {str(n): float(c) + 0.2 for n, c in enumerate(OBSERVERS[3]) if c != "."} | {"x": 1.0}
    found = agreement(ratings, judge)
    assert (found["items"], found["raters"]) == (11, 4)
    assert found["people_alpha_nominal"] == pytest.approx(0.743, abs=5e-4)  # item 11 has one rating
    assert found["alpha_nominal"] > found["people_alpha_nominal"]
    d = RATINGS[3]
    others = [(d[known], row[known]) for row in RATINGS if (known := ~np.isnan(row + d)).any()]
    assert found["kappa"] == pytest.approx(np.mean([cohens_kappa(*pair) for pair in others]))
    assert found["spearman"] == pytest.approx(
        scipy.stats.spearmanr(d[:11], np.nanmean(RATINGS, axis=0)[:11]).statistic
    )
    with pytest.raises(UserError, match="no common item"):
        agreement(ratings, {"other": 1.0})


def test_votes_of_the_web_page(tmp_path: Path) -> None:
    votes = [
        {"request": "r1", "vote": "up", "question": "Q?", "answer": "A."},
        {"request": "r2", "vote": "down", "question": "Q?", "answer": "B.", "rater": "ann"},
        {"request": "r3", "vote": ["up"]},
    ]
    file = tmp_path / "votes.jsonl"
    file.write_text("".join(json.dumps(vote) + "\n" for vote in votes))
    problems = Problems()
    assert read_ratings(file, problems) == {"web": {"r1": 1.0}, "ann": {"r2": 0.0}}
    assert problems.counts == {"line that is no vote": 1}


def test_preferences_of_people() -> None:
    votes = {"ann": {"a": 1.0, "b": 0.0}, "bob": {"a": 0.0}}
    assert people_prefer(votes) == {"a": 0.5, "b": 0.0}
    assert people_prefer(votes | {"eve": {"a": 7.0}}) is None  # marks are no preferences
    assert people_prefer({}) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("item,rating\n1,2\n", "lacks a column"), ("item,rater,rating\n", "holds no ratings")],
)
def test_files_without_ratings(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "people.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_ratings(tmp_path / "people.csv", Problems())
    with pytest.raises(UserError, match="cannot be read"):
        read_ratings(tmp_path / "none.csv", Problems())
