"""How far a judge agrees with people, and people with each other.

Ratings come from a CSV file with the columns item, rater and rating (a number), or from the votes
of the web page, a JSON object a line:

    {"request": "id of the answer", "vote": "up" or "down", "question": ..., "answer": ...,
     "rater": "name, if known"}

A vote is a rating of 1 (up) or 0 (down) of the item that its request names; votes without a rater
count as those of one rater, "web". Where a rater rates an item again, the last rating stands.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from llava_jax.errors import UserError
from llava_jax.evaluation.answers import read_lines
from llava_jax.evaluation.judge.agreement_measures import (
    Level,
    cohens_kappa,
    krippendorffs_alpha,
    spearman,
)
from llava_jax.problems import Problems

Ratings = dict[str, dict[str, float]]  # rater -> item -> rating
Row = tuple[str, str, str, float]  # where it stands, item, rater, rating

_LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
_COLUMNS = {"item", "rater", "rating"}
_VOTES = {"up": 1.0, "down": 0.0}


def read_ratings(path: Path, problems: Problems) -> Ratings:
    """Ratings of a .csv file or votes of a .jsonl file; rows that are none are noted.

    Raises UserError where the file cannot be read or holds no rating.
    """
    ratings: Ratings = {}
    rows = _votes(path, problems) if path.suffix == ".jsonl" else _csv_rows(path, problems)
    for where, item, rater, rating in rows:
        of_rater = ratings.setdefault(rater, {})
        if item in of_rater:
            problems.note("item rated again by the same rater (the last rating stands)", where)
        of_rater[item] = rating
    if not ratings:
        raise UserError(f"{path} holds no ratings: give lines of item, rater and a number")
    return ratings


def agreement(ratings: Ratings, judged: Mapping[str, float]) -> dict[str, float | int | None]:
    """A judge against people, on the items that both rated; None where a measure is not defined.

    judged: the judge's marks (or preferences) by item, on the people's scale.
    kappa, weighted_kappa: the mean over raters of Cohen's; the judge's marks are first moved to the
    nearest rating that people gave, since a mean of two orders lies between. spearman: of the
    judge's marks and the people's mean. alpha_*: Krippendorff's, of people and judge together;
    people_alpha_*: of people alone, the bound for what a judge can reach.
    """
    items = sorted({item for of in ratings.values() for item in of} & set(judged))
    if not items:
        raise UserError("people and judge rated no common item: see that the items' ids are alike")
    people = np.array([[of.get(item, np.nan) for item in items] for of in ratings.values()])
    marks = np.array([judged[item] for item in items])
    levels = np.unique(people[~np.isnan(people)])
    nearest = levels[np.abs(marks[:, None] - levels).argmin(axis=1)]
    pairs = [
        (nearest[known], rater[known]) for rater in people if (known := ~np.isnan(rater)).any()
    ]
    together = np.vstack([people, nearest])
    measures: dict[str, float] = {
        "kappa": _mean([cohens_kappa(*pair) for pair in pairs]),
        "weighted_kappa": _mean([cohens_kappa(*pair, quadratic=True) for pair in pairs]),
        "spearman": spearman(marks, np.nanmean(people, axis=0)),
        **{f"alpha_{level}": krippendorffs_alpha(together, level) for level in _LEVELS},
        **{f"people_alpha_{level}": krippendorffs_alpha(people, level) for level in _LEVELS},
    }
    known = {name: None if np.isnan(value) else value for name, value in measures.items()}
    return {"items": len(items), "raters": len(pairs), **known}


def people_prefer(ratings: Ratings) -> dict[str, float] | None:
    """People's mean preference for the candidate's answer by item.

    None where the ratings are none from 0 (the reference's is better) to 1, as votes are.
    """
    by_item: dict[str, list[float]] = {}
    for of_rater in ratings.values():
        for item, rating in of_rater.items():
            by_item.setdefault(item, []).append(rating)
    if not by_item or not all(0 <= r <= 1 for of_item in by_item.values() for r in of_item):
        return None
    return {item: float(np.mean(of_item)) for item, of_item in by_item.items()}


def _csv_rows(path: Path, problems: Problems) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not set(rows.fieldnames or ()) >= _COLUMNS:
                raise UserError(
                    f"{path} lacks a column: its first line must name item, rater, rating"
                )
            for row in rows:
                where = f"{path.name} line {rows.line_num}"
                try:
                    yield where, row["item"], row["rater"], _finite(row["rating"])
                except (TypeError, ValueError):
                    problems.note("rating that is no number", where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): give a CSV file in UTF-8") from error


def _votes(path: Path, problems: Problems) -> Iterator[Row]:
    for number, row in read_lines(path, problems):
        where = f"{path.name} line {number}"
        if "request" in row and str(row.get("vote")) in _VOTES:
            yield where, str(row["request"]), str(row.get("rater", "web")), _VOTES[row["vote"]]
        else:
            problems.note("line that is no vote", where)


def _mean(values: list[float]) -> float:
    """Of those that are defined."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _finite(text: str) -> float:
    if not np.isfinite(value := float(text)):
        raise ValueError(f"{text} is no rating")
    return value
