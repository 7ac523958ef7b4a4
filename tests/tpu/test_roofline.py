"""The modelled time of a step, by hand."""

import pytest

from llava_jax.tpu.chips import CHIPS, Chip
from llava_jax.tpu.counting.collectives import Collective, by_kind
from llava_jax.tpu.counting.program import Product, Program
from llava_jax.tpu.roofline import step_time

CHIP = Chip(
    "round",
    peak=100.0,
    hbm=1.0,
    hbm_bandwidth=10.0,
    ici_bandwidth=5.0,
    dcn_bandwidth=1.0,
    host_bandwidth=2.0,
)


def collective(kind: str, total: float, overlapped: bool, across: bool = False) -> Collective:
    return Collective("name", kind, 2, total / 2, 4, overlapped, across)


def program(
    *collectives: Collective, flops: float = 300.0, hbm: float = 20.0, host: float = 0.0
) -> Program:
    return Program((Product(15, 9, 1),), flops - 270.0, hbm, host, collectives, 0, (), ())


def test_what_overlaps_is_hidden_and_what_does_not_comes_on_top():
    hidden = collective("all-gather", 10.0, overlapped=True)
    seen = collective("reduce-scatter", 5.0, overlapped=False)
    time = step_time(program(hidden, seen), CHIP)
    assert (time.compute, time.hbm, time.ici, time.ici_exposed) == (3.0, 2.0, 3.0, 1.0)
    assert time.total == 4.0
    assert time.limited_by == "compute"


@pytest.mark.parametrize(
    ("work", "total", "limited_by"),
    [
        (program(hbm=50.0), 5.0, "hbm"),
        (program(host=12.0), 6.0, "host"),
        (program(collective("all-gather", 40.0, True)), 8.0, "overlapped collectives"),
        (program(collective("all-gather", 40.0, False)), 11.0, "exposed collectives"),
        (program(collective("all-reduce", 8.0, True, across=True)), 8.0, "overlapped collectives"),
    ],
)
def test_the_longest_part_is_named(work: Program, total: float, limited_by: str):
    time = step_time(work, CHIP)
    assert (time.total, time.limited_by) == (total, limited_by)


def test_kinds_are_summed():
    both = (collective("all-gather", 2**30, True), collective("all-gather", 2**31, False))
    gathered = by_kind(both)["all-gather"]
    assert (gathered.count, gathered.gib) == (4, 3.0)
    assert gathered.async_fraction == pytest.approx(1 / 3)


def test_chips_are_those_of_the_documentation():
    peaks = {name: chip.peak / 1e12 for name, chip in CHIPS.items()}
    assert peaks == {"v4": 275, "v5e": 197, "v5p": 459, "v6e": 918}
