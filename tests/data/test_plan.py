"""The plan of a run: which records stand in which row."""

import os
import subprocess
import sys

import numpy as np
import pytest

from llava_jax.data.plan import BatchShape, make_plan
from llava_jax.data.survey import Survey
from llava_jax.errors import UserError
from tests.conftest import REPOSITORY

SHAPE = BatchShape(rows=4, length=100, images=3)


def surveyed(count: int, seed: int = 0, useless: int = 0) -> Survey:
    random = np.random.default_rng(seed)
    lengths = random.integers(10, 60, count).astype(np.int32)
    learned = (lengths // 2).astype(np.int32)
    learned[:useless] = 0
    images = random.integers(0, 2, count).astype(np.int32)
    return Survey(lengths, learned, images, images, {})


def test_an_epoch_holds_every_usable_record_once():
    found = [surveyed(50, 0, useless=3), surveyed(20, 1)]
    for pack_rows in (False, True):
        plan = make_plan(found, [None, None], SHAPE, seed=0, epochs=2.0, pack_rows=pack_rows)
        expected = [*range(3, 50), *range(50, 70)]
        assert sorted(plan.records.tolist()) == sorted(expected * 2)
        assert [record for r in range(plan.rows) for record in plan.row(r)] == plan.records.tolist()
        assert plan.row(plan.rows) == []


def test_numbers_of_the_rows():
    found = surveyed(40)
    plan = make_plan([found], [None], SHAPE, seed=0, epochs=1.0, pack_rows=True)
    rows = [plan.row(r) for r in range(plan.rows)]
    assert all(found.lengths[row].sum() <= 100 and found.images[row].sum() <= 3 for row in rows)
    assert plan.fill == found.lengths.sum() / (100 * plan.rows) > 0.9
    assert plan.targets == max(found.supervised[row].sum() for row in rows)
    alone = make_plan([found], [None], SHAPE, seed=0, epochs=1.0)
    assert alone.rows == 40 and alone.targets == found.supervised.max()


def test_targets_are_a_limit():
    shape = BatchShape(rows=4, length=100, images=100, targets=35)
    plan = make_plan([surveyed(40)], [None], shape, seed=0, epochs=1.0, pack_rows=True)
    assert 30 < plan.targets <= 35


def test_steps_count_batches_and_longer_runs_begin_alike():
    found = [surveyed(50), surveyed(20, 1)]
    weights = [0.75, 0.25]
    short = make_plan(found, weights, SHAPE, seed=3, steps=10, pack_rows=True)
    long = make_plan(found, weights, SHAPE, seed=3, steps=30, pack_rows=True)
    assert (short.rows, long.rows) == (40, 120)
    assert [short.row(r) for r in range(40)] == [long.row(r) for r in range(40)]
    assert short.fingerprint == long.fingerprint
    assert np.mean(long.records >= 50) == pytest.approx(0.25, abs=0.05)


def test_the_fingerprint_tells_other_data_and_other_orders():
    def fingerprint(found=None, seed=0, weights=(None,), shape=SHAPE, **options):
        found = [surveyed(50)] if found is None else found
        return make_plan(found, list(weights), shape, seed=seed, steps=2, **options).fingerprint

    others = [
        fingerprint(found=[surveyed(50, 9)]),
        fingerprint(seed=1),
        fingerprint(pack_rows=True),
        fingerprint(group="modality_length"),
        fingerprint(shape=BatchShape(4, 100, 4)),
        fingerprint(found=[surveyed(50), surveyed(5)], weights=(0.5, 0.5)),
        fingerprint(found=[surveyed(50), surveyed(5)], weights=(0.6, 0.4)),
        fingerprint(),
    ]
    assert len(set(others)) == len(others)
    assert fingerprint() == fingerprint(shape=BatchShape(8, 100, 3))


def test_groups_follow_the_global_batch():
    found = surveyed(64)
    plan = make_plan([found], [None], SHAPE, seed=0, epochs=1.0, group="modality_length")
    for start in range(0, 56, 4):
        members = plan.records[start : start + 4]
        assert len(set(found.images[members])) == 1
        assert (np.diff(found.lengths[members]) <= 0).all()


def test_other_interpreters_plan_the_same():
    """Each process of a run makes the plan for itself."""
    script = (
        "from tests.data.test_plan import *\n"
        "plan = make_plan([surveyed(300), surveyed(90, 1)], [0.5, 0.5], SHAPE, seed=5,"
        " steps=20, pack_rows=True)\n"
        "print(plan.fingerprint, plan.records.tolist(), plan.starts.tolist())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1 and len(said.pop()) > 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either epochs or steps"),
        ({"epochs": 1.0, "steps": 2}, "either epochs or steps"),
        ({"steps": 0}, "above 0"),
        ({"epochs": -1.0}, "above 0"),
        ({"steps": 1, "weights": [0.0]}, "weight must be above 0"),
    ],
)
def test_impossible_numbers(options, message):
    weights = options.pop("weights", [None])
    with pytest.raises(UserError, match=message):
        make_plan([surveyed(5)], weights, SHAPE, seed=0, **options)
