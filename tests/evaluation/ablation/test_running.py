"""Runs of an ablation, their trainer and evaluation stood in for by one line of Python."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from llava_jax.errors import Stopped
from llava_jax.evaluation.ablation.plan import Factor, Run, runs
from llava_jax.evaluation.ablation.report import difference, report, verdict
from llava_jax.evaluation.ablation.running import figures_of, run_all

QUIET = Console(quiet=True)
TRAINER = """
import json, pathlib, sys
folder, value, code = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
(folder / "count").open("a").write("x")
figure = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 9}
(folder / "report.json").write_text(json.dumps({"held_out": {"presence": figure}}))
sys.exit(code)
"""
GRIDS = [
    [Factor("stage", {"with": {}, "without": {"value": 0.5}}, better="with", source="a paper")],
    [Factor("layer", {"last": {}, "before": {"value": 0.72}}, better="before", source="a paper")],
    [Factor("rate", {"high": {"value": 0.1, "code": 1}})],
]


def commands(run: Run, workdir: Path) -> list[list[str]]:
    value, code = run.overrides.get("value", 0.7), run.overrides.get("code", 0)
    return [[sys.executable, "-c", TRAINER, str(workdir), str(value), str(code)]]


def times(folder: Path) -> dict[str, int]:
    return {file.parent.name: len(file.read_text()) for file in folder.glob("runs/*/count")}


def test_runs_are_taken_up_again_and_reported(tmp_path: Path) -> None:
    wanted = runs(GRIDS).values()
    for _ in range(2):
        outcomes = run_all(wanted, commands, tmp_path, QUIET)
    assert times(tmp_path) == {"recipe": 1, "stage=without": 1, "layer=before": 1, "rate=high": 2}
    assert outcomes["rate=high"].failed.endswith("(exit code 1)")
    report(GRIDS, outcomes, tmp_path)
    stage, layer, rate = json.loads((tmp_path / "ablation.json").read_text())
    assert stage["points"]["with"]["presence"]["value"] == pytest.approx(70)
    assert stage["claims"][0]["verdict"] == "shows here too"
    assert layer["claims"][0]["verdict"] == "cannot be told here"
    assert rate["points"] == {"high": {}}
    told = (tmp_path / "ablation.md").read_text()
    assert "| with | 70.0 (65.0 to 75.0) |" in told and "exit code 1" in told
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_with_other_commands_is_run_again(tmp_path: Path) -> None:
    run_all([Run("recipe", {})], commands, tmp_path, QUIET)
    run_all([Run("recipe", {"value": 0.4})], commands, tmp_path, QUIET)
    assert times(tmp_path) == {"recipe": 2}


def test_told_to_stop(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run_all([Run("a", {"code": 143}), Run("b", {})], commands, tmp_path, QUIET)
    assert times(tmp_path) == {"a": 1}


def test_sigterm_is_passed_on_to_the_command(tmp_path: Path) -> None:
    """Which then saves and says so, and is not left behind."""
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (saved.write_text(''), sys.exit(143)))\n"
        "saved, started = map(pathlib.Path, sys.argv[1:])\n"
        "started.write_text('')\n"
        "time.sleep(60)"
    )
    saved, started = tmp_path / "saved", tmp_path / "started"

    def stop() -> None:
        while not started.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(Stopped):
        run_all(
            [Run("a", {})],
            lambda *_: [[sys.executable, "-c", program, str(saved), str(started)]],
            tmp_path,
            QUIET,
        )
    assert saved.exists()


def test_differences_of_independent_figures() -> None:
    a = {"value": 60.0, "low": 57.0, "high": 62.0}
    b = {"value": 50.0, "low": 46.0, "high": 54.0}
    assert difference(a, b) == pytest.approx({"value": 10, "low": 5, "high": 10 + 20**0.5})
    assert verdict(difference(b, a)) == "the opposite shows here"


def test_figures_of_benchmarks_stand_beside_held_out_ones(tmp_path: Path) -> None:
    overall = {"value": 85.9, "low": 85.0, "high": 87.0, "n": 9}
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "report.json").write_text(
        json.dumps(
            {"name": "pope", "overall": overall, "pope": {"name": "pope", "overall": overall}}
        )
    )
    assert figures_of(tmp_path) == {"pope": {"value": 85.9, "low": 85.0, "high": 87.0}}
