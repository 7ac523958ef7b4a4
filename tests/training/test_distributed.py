"""Several processes on one machine train as one does; checkpoints move between numbers of them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from llava_jax import partition
from llava_jax.models.compute import Compute
from llava_jax.weights.workdir import load_trained
from tests.conftest import REPOSITORY
from tests.interrupt import interrupted
from tests.tiny_run import losses, write_config

pytestmark = pytest.mark.slow

# float32 sums in another order on another mesh; Adam's first steps magnify that.
TOLERANCE = 2e-4


def start(
    config: Path,
    workdir: Path,
    *flags: str,
    processes: int = 1,
    devices: int = 4,
    environment: dict[str, str] | None = None,
) -> list[subprocess.Popen]:
    """The launcher in so many processes of so many simulated devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        **(environment or {}),
    }
    started = []
    for process in range(processes):
        command = [sys.executable, "launch/train.py", f"--config={config}"]
        command += [f"--workdir={workdir}", *flags]
        if processes > 1:
            command += [f"--coordinator={coordinator}", f"--processes={processes}"]
            command += [f"--process={process}"]
        started.append(
            subprocess.Popen(
                command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    return started


def finish(started: list[subprocess.Popen]) -> list[int]:
    codes = []
    for process in started:
        _, errors = process.communicate(timeout=400)
        codes.append(process.returncode)
        assert process.returncode in (0, 143), errors[-3000:]
    return codes


def wait_for(started: list[subprocess.Popen], workdir: Path, stage: str, steps: int) -> None:
    deadline = time.monotonic() + 300
    while len(losses(workdir, stage)) < steps:
        for process in started:
            assert process.poll() is None, process.stderr and process.stderr.read()[-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.01)


CHANGES = """\
config.stage.instruct.pack = True
config.stage.align.rows = 8
config.stage.instruct.rows = 8
config.stages = ("instruct",)
config.save_every = 2
"""


@pytest.fixture
def config(tiny_folder: Path) -> Path:
    return write_config(tiny_folder, CHANGES)


def test_two_processes_a_kill_and_one_process_again(config: Path, tmp_path: Path) -> None:
    """2 x 4 devices with fsdp, killed; goes on as 1 x 4 with tensor: the losses of one device."""
    alone, moved = tmp_path / "alone", tmp_path / "moved"
    finish(start(config, alone, devices=1))
    wanted = losses(alone, "instruct")
    assert len(wanted) == 8

    killed = interrupted("instruct", 5, signal.SIGKILL)
    first, second = start(config, moved, processes=2, environment=killed)
    assert first.wait(timeout=300) == -signal.SIGKILL
    assert second.wait(timeout=60) != 0
    assert len(losses(moved, "instruct")) == 5
    finish(start(config, moved, "--config.mesh.tensor=2"))
    found = losses(moved, "instruct")
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE)
    # What four devices saved, one device reads.
    trained = [partition.flatten(load_trained(run, Compute()).params) for run in (moved, alone)]
    for path, leaf in trained[0].items():
        np.testing.assert_allclose(leaf, trained[1][path], atol=1e-3, err_msg=path)


def test_sigterm_saves_and_the_run_goes_on_with_more_processes(
    config: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    told = interrupted("instruct", 3, signal.SIGTERM)
    (single,) = start(config, workdir, "--config.save_every=1000", environment=told)
    _, message = single.communicate(timeout=300)
    assert single.returncode == 143 and "run the same command again" in message
    assert len(losses(workdir, "instruct")) == 3
    pair = start(config, workdir, "--config.save_every=1000", processes=2)
    finish(pair)
    assert len(losses(workdir, "instruct")) == 8


def test_sigterm_to_one_process_stops_all_at_one_step(config: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    pair = start(config, workdir, "--config.stage.instruct.steps=400", processes=2)
    wait_for(pair, workdir, "instruct", 2)
    pair[1].send_signal(signal.SIGTERM)
    assert finish(pair) == [143, 143]
    assert 2 <= len(losses(workdir, "instruct")) < 400


def test_a_worker_that_dies_leaves_a_sentence_and_its_checkpoints(
    config: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    pair = start(config, workdir, "--config.stage.instruct.steps=400", processes=2)
    wait_for(pair, workdir, "instruct", 5)
    pair[1].send_signal(signal.SIGKILL)
    _, message = pair[0].communicate(timeout=200)
    assert pair[0].returncode == 75, message[-3000:]
    assert "lost contact with another process" in message
    again = start(config, workdir, "--config.stage.instruct.steps=400", processes=2)
    wait_for(again, workdir, "instruct", 7)
    for process in again:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config.mesh.fsdp=3"], "tensor 1 x fsdp 3 needs 3 devices"),
        (["--config.mesh.tensor=3"], "there are 4"),
        (["--config.stage.instruct.rows=6"], "make it a multiple of 4"),
        (["--config.mesh.slices=3"], "set it to 1"),
        (["--coordinator=127.0.0.1:1", "--processes=2", "--process=2"], "number the processes"),
        (["--processes=2"], "need --coordinator=HOST:PORT"),
    ],
)  # fmt: skip
def test_meshes_and_numbers_that_do_not_fit(
    config: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    (process,) = start(config, tmp_path / "run", *flags)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors[-2000:]
    assert message in errors and errors.count("\n") == 1
