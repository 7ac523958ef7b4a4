"""A run that is killed at any moment goes on to the very same losses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY
from tests.tiny_run import losses, write_config


def start(config: Path, workdir: Path) -> subprocess.Popen:
    command = [sys.executable, "launch/train.py", f"--config={config}", f"--workdir={workdir}"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, workdir: Path, stage: str, steps: int) -> None:
    """Returns once the stage has logged so many steps."""
    deadline = time.monotonic() + 300
    while len(losses(workdir, stage)) < steps:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill_after(process: subprocess.Popen, workdir: Path, stage: str, steps: int) -> None:
    """kill -9, once the stage has logged so many steps."""
    wait_for(process, workdir, stage, steps)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_kill_9_in_both_stages(tiny_folder: Path, tmp_path: Path) -> None:
    config = write_config(tiny_folder, "config.save_every = 3\nconfig.stage.instruct.pack = True")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    process = start(config, whole)
    assert process.wait() == 0, process.stderr and process.stderr.read()

    kill_after(start(config, broken), broken, "align", 5)
    kill_after(start(config, broken), broken, "instruct", 4)
    process = start(config, broken)
    assert process.wait() == 0, process.stderr and process.stderr.read()
    for stage in ("align", "instruct"):
        assert len(losses(whole, stage)) == 8
        assert losses(broken, stage) == losses(whole, stage)


@pytest.mark.slow
def test_workers_end_with_a_run_that_is_killed(tiny_folder: Path, tmp_path: Path) -> None:
    config = write_config(
        tiny_folder,
        "config.workers = 2\nconfig.stage.align.steps = 4000\nconfig.save_every = 999",
    )
    process = start(config, tmp_path)
    wait_for(process, tmp_path, "align", 1)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []
