import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from llava_jax import report
from llava_jax.errors import UserError
from llava_jax.report import add_minutes, read_report, timed, update_report


def test_entries_gather_and_new_ones_replace_old(tmp_path: Path) -> None:
    assert read_report(tmp_path) == {}
    update_report(tmp_path, evaluated={"align": 8}, held_out={"presence": 0.5, "count": 0.2})
    update_report(tmp_path, held_out={"presence": 0.75})
    assert read_report(tmp_path) == {"evaluated": {"align": 8}, "held_out": {"presence": 0.75}}
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(UserError, match=r"report.json is damaged .*remove it"):
        update_report(tmp_path, held_out={})


def test_a_write_that_breaks_off_leaves_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    update_report(tmp_path, evaluated={"align": 8})

    def break_off(file: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", break_off)
    with pytest.raises(UserError, match=r"No space.*make room"):
        update_report(tmp_path, evaluated={"align": 16})
    assert read_report(tmp_path) == {"evaluated": {"align": 8}}


def test_minutes_of_a_part_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0, 90, 1000, 1030])
    monkeypatch.setattr(report, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    add_minutes(tmp_path, "setup", 0.5)
    with timed(tmp_path, "train"):
        assert "train" not in read_report(tmp_path)["minutes"]
    with timed(tmp_path, "train"):
        pass
    assert read_report(tmp_path)["minutes"] == {"setup": 0.5, "train": 2.0}
