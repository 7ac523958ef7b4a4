"""What a user can get wrong with launch/train.py: one clear line, exit code 2, nothing lost."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.tiny_run import turns, write_config


def launch(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess:
    """Runs launch/train.py; `limit`: the size in bytes that no file may exceed."""
    command = [sys.executable, "launch/train.py", *arguments]
    if limit is not None:
        shell = f"ulimit -f {limit // 512}; trap '' XFSZ; exec \"$@\""
        command = ["sh", "-c", shell, "sh", *command]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)


def assert_refused(result: subprocess.CompletedProcess, *words: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    message = next(line for line in result.stderr.splitlines() if line.startswith("error: "))
    for word in words:
        assert word in message


@pytest.mark.slow
def test_wrong_words_on_the_command_line(tiny_folder: Path, tmp_path: Path) -> None:
    config, workdir = f"--config={write_config(tiny_folder)}", f"--workdir={tmp_path / 'run'}"
    assert_refused(launch(config), "workdir")
    assert_refused(launch(workdir), "config")
    assert_refused(launch(config, workdir, "--wokrdir=x"), "wokrdir")
    assert_refused(launch(config, workdir, "--config.stage.align.setps=3"), "setps")
    assert_refused(launch(config, workdir, "--config.stage.align.optimizer.clip=big"), "big")
    assert_refused(launch("--config=configs/none.py", workdir), "configs/none.py")
    assert_refused(launch(config, "--workdir=http://host/run"), "http://host/run", "gs://")
    assert_refused(launch("--config=configs/pocket.py:huge", workdir), "huge", "quick")
    assert not (tmp_path / "run").exists()


def no_file(folder: Path) -> None:
    (folder / "captions.json").unlink()


def no_records(folder: Path) -> None:
    (folder / "captions.json").write_text("[]")


def no_answers(folder: Path) -> None:
    records = [{"id": "1", "conversations": turns("Say it.", "")[:1]}]
    (folder / "captions.json").write_text(json.dumps(records))


def too_many_markers(folder: Path) -> None:
    records = json.loads((folder / "captions.json").read_text())
    records[5]["image"] = ["1.png", "2.png"]
    (folder / "captions.json").write_text(json.dumps(records))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (no_file, ["captions.json"]),
        (no_records, ["holds no records"]),
        (no_answers, ["every sample would be masked"]),
        (too_many_markers, ["captions.json", "id '5'"]),
    ],
)
def test_data_that_cannot_be_trained_on(
    spoil: Callable[[Path], None], words: list[str], tiny_folder: Path, tmp_path: Path
) -> None:
    spoil(tiny_folder)
    result = launch(f"--config={write_config(tiny_folder)}", f"--workdir={tmp_path / 'run'}")
    assert_refused(result, *words)


@pytest.mark.slow
def test_a_full_disk_while_saving_leaves_earlier_checkpoints(
    tiny_folder: Path, tmp_path: Path
) -> None:
    """Stage 1 saves some 100 KB, stage 2 an optimizer of more than a file may hold."""
    workdir = tmp_path / "run"
    arguments = (f"--config={write_config(tiny_folder)}", f"--workdir={workdir}")
    result = launch(*arguments, limit=400_000)
    assert_refused(result, "could not save", "Earlier checkpoints are untouched")
    assert (workdir / "stages" / "align" / "checkpoints" / "8").is_dir()
    result = launch(*arguments)
    assert result.returncode == 0, result.stderr
    assert "stage align: done before" in result.stderr
