"""A run in a bucket goes on from there: to the very same losses, whatever its machine has lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from llava_jax.run_folder import run_folder
from llava_jax.weights.workdir import load_recipe
from tests.conftest import REPOSITORY
from tests.interrupt import interrupted
from tests.tiny_run import write_config

pytestmark = pytest.mark.slow

STEPS = {"align": 8, "instruct": 12}
CHANGES = """\
config.save_every = 3
config.stage.instruct.pack = True
config.stage.instruct.steps = 12
"""


def start(
    config: Path, workdir: str, disk: Path, *flags: str, environment: dict[str, str] | None = None
) -> subprocess.Popen:
    """The launcher on a machine whose cache is `disk`."""
    command = [sys.executable, "launch/train.py", f"--config={config}", f"--workdir={workdir}"]
    return subprocess.Popen(
        [*command, *flags],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "JAX_PLATFORMS": "cpu",
            "LLAVA_JAX_CACHE": str(disk),
            **(environment or {}),
        },
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors[-3000:]
    return errors


def refusal(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 2 and errors.count("\n") == 1, errors[-3000:]
    return errors


def content(url: str) -> bytes | None:
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    try:
        return system.cat_file(path)
    except FileNotFoundError:
        return None


def listed(url: str) -> list[str]:
    system, path = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return sorted(name.rpartition("/")[2] for name in system.ls(path, detail=False))


def losses(workdir: str, stage: str) -> list[float]:
    lines = (content(f"{workdir}/stages/{stage}/metrics.jsonl") or b"").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == list(range(len(records)))
    return [record["loss"] for record in records]


def test_preempted_twice_and_moved_to_other_machines(
    gcs: None, tiny_folder: Path, tmp_path: Path
) -> None:
    config = write_config(tiny_folder, CHANGES)
    whole, url = tmp_path / "whole", "gs://bucket/preempted"
    finish(start(config, str(whole), tmp_path / "disk"))

    killed = interrupted("align", 7, signal.SIGKILL)
    first = start(config, url, tmp_path / "first", environment=killed)
    assert first.wait(timeout=400) == -signal.SIGKILL
    assert content(f"{url}/stages/align/checkpoints/3/commit_success.txt") is not None
    shutil.rmtree(tmp_path / "first" / "runs")

    stopped = 5
    told = interrupted("instruct", stopped, signal.SIGTERM)
    flag = "--config.stage.instruct.accumulate=1"
    second = start(config, url, tmp_path / "second", flag, environment=told)
    _, message = second.communicate(timeout=400)
    assert second.returncode == 143 and "run the same command again" in message
    assert len(losses(url, "instruct")) == stopped
    assert max(map(int, listed(f"{url}/stages/instruct/checkpoints"))) == stopped

    assert f"resumed at step {stopped}" in finish(start(config, url, tmp_path / "third"))
    for stage, steps in STEPS.items():
        found = losses(url, stage)
        assert len(found) == steps and found == losses(f"file://{whole}", stage)
        folder = f"{url}/stages/{stage}"
        before = (steps - 1) // 3 * 3
        assert listed(f"{folder}/checkpoints") == sorted((str(steps), str(before)))
        assert content(f"{folder}/samples/step_{steps:06d}.png")[:4] == b"\x89PNG"
        assert listed(f"{folder}/tensorboard")
    assert load_recipe(run_folder(url)) == load_recipe(whole)
    assert not list(REPOSITORY.glob("gs:*"))

    message = refusal(start(config, url, tmp_path / "third", "--config.seed=7"))
    assert f"{url} holds a run of another recipe (they differ in config.seed)" in message


def test_a_bucket_that_is_not_there(gcs: None, tiny_folder: Path, tmp_path: Path) -> None:
    config = write_config(tiny_folder)
    message = refusal(start(config, "gs://no_such_bucket/run", tmp_path / "disk"))
    assert "gs://no_such_bucket/run" in message and "see that the bucket exists" in message
