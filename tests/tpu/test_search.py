"""The search for what fits, over a compiler that is one compiled program and a limit of rows."""

import dataclasses

import pytest
from rich.console import Console

from llava_jax.errors import UserError
from llava_jax.tpu import search
from llava_jax.tpu.flight_check import Check, run_check
from llava_jax.tpu.report import Memory, Report
from tests.tpu.small import ROWS, small_check

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compiled(tpu_compiler: None) -> Report:
    with pytest.MonkeyPatch.context() as patch:
        return run_check(small_check("align", "v5e-4", patch))[0]


@pytest.fixture
def limit(compiled: Report, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Up to 64 rows fit at once, whatever else is asked for."""

    def run(check: Check) -> tuple[Report, str]:
        setting = check.setting()
        fits = setting.batch // setting.accumulate <= 64
        if fits:
            return dataclasses.replace(compiled, setting=setting), "program"
        memory = Memory(15.75, 20.0, 0.0, 20.0, over=4.25)
        return Report(setting, compiled.chip, memory, None, None, 0.0), ""

    monkeypatch.setattr(search, "run_check", run)
    return monkeypatch


@pytest.mark.parametrize(("most", "said"), [(20, "mesh: 64 rows"), (11, "mesh: at least 32 rows")])
def test_the_largest_batch_is_as_far_as_was_looked(limit: pytest.MonkeyPatch, most: int, said: str):
    limit.setattr(search, "_MOST", most)
    console = Console(record=True, width=200)
    report, program = search.search(small_check("align", "v5e-4", limit), console)
    assert program == "program" and report.setting.batch == ROWS
    assert said in console.export_text()
    assert len(report.tried) <= most
    assert [trial.fits for trial in report.tried].count(False) == (most == 20)


def test_the_nearest_that_fits_is_in_more_micro_batches(limit: pytest.MonkeyPatch):
    console = Console(record=True, width=200)
    check = small_check("align", "v5e-4", limit, rows=256)
    report, _ = search.check_or_nearest(check, console)
    assert (report.setting.accumulate, report.setting.topology) == (4, "v5e-4")
    assert "does not fit v5e-4" in console.export_text()


def test_nothing_near_is_a_sentence(limit: pytest.MonkeyPatch):
    limit.setattr(search, "_NEAREST", 1)
    check = small_check("align", "v5e-4", limit, rows=256)
    with pytest.raises(UserError, match="nothing near it fits: take a larger topology"):
        search.check_or_nearest(check, Console(quiet=True))
