"""launch/tpu_vm.sh against a gcloud that is a folder: its workers really run what they are sent."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

TPU = ("--name=mine", "--zone=here", "--poll_seconds=0")
V5E = "--accelerator=v5e-16"
PROGRAM = "configs/spoken.py"  # copied with the project: it stands in for launch/train.py
SPOKEN = """
import os, pathlib, sys, time
workdir = pathlib.Path(os.environ["FAKE_TPU"])
print("arguments", sys.argv[1:], flush=True)
worker = int(pathlib.Path.home().name[-1])
if (workdir / "lonely").exists() and worker == 0:
    code = int((workdir / "lonely").read_text())
    (workdir / "lonely").unlink()
    sys.exit(code)
if (workdir / "slow").exists():
    time.sleep(600)
if (workdir / f"fail_{worker}").exists():
    print("no such file: data.json", file=sys.stderr)
    sys.exit(3)
"""


class Cloud:
    """A project copy with our scripts, and a fake gcloud beside it."""

    def __init__(self, folder: Path):
        self.tpu, self.bin, self.project = folder / "tpu", folder / "bin", folder / "project"
        for path in (self.tpu, self.bin, self.project / "configs", self.project / "llava_jax"):
            path.mkdir(parents=True)
        shutil.copytree(REPOSITORY / "launch", self.project / "launch")
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPOSITORY / name, self.project)
        for name in ("requirements.txt", "requirements-web.txt", "requirements-tpu.txt"):
            shutil.copy(REPOSITORY / name, self.project)
        (self.project / PROGRAM).write_text(SPOKEN)
        (self.tpu / "workers").write_text("2")
        (self.tpu / "project").write_text("my-project")
        gcloud = self.bin / "gcloud"
        fake = Path(__file__).with_name("fake_gcloud.py")
        gcloud.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
        gcloud.chmod(0o755)

    def script(self, **acts: list[str]) -> None:
        (self.tpu / "script.json").write_text(json.dumps(acts))

    def start(self, *words: str, path: str | None = None) -> subprocess.Popen:
        path = f"{self.bin}:{os.environ['PATH']}" if path is None else path
        environment = os.environ | {"PATH": path, "FAKE_TPU": str(self.tpu)}
        command = ["/bin/bash", str(self.project / "launch" / "tpu_vm.sh"), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, env=environment, text=True, **pipes)

    def run(self, *words: str, path: str | None = None) -> subprocess.CompletedProcess:
        process = self.start(*words, path=path)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def calls(self, *verbs: str) -> list[list[str]]:
        path = self.tpu / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if call[0] == "compute" and call[3] in verbs]


@pytest.fixture
def cloud(tmp_path: Path):
    made = Cloud(tmp_path)
    yield made
    made.run("delete", *TPU)


def test_one_command_does_everything(cloud: Cloud):
    done = cloud.run("train", *TPU, V5E, "--spot", "--", PROGRAM, "--a=two words", "it's", "$HOME")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("arguments") == 1  # only the first worker's log is shown
    assert "arguments ['--a=two words', \"it's\", '$HOME']" in done.stdout
    assert cloud.calls("create") == [
        [
            *("compute", "tpus", "tpu-vm", "create", "mine", "--accelerator-type=v5litepod-16"),
            *("--version=v2-alpha-tpuv5-lite", "--spot", "--zone=here", "--project=my-project"),
        ]
    ]
    assert all("--worker=all" in call for call in cloud.calls("ssh", "scp"))
    again = cloud.run("train", *TPU, V5E, "--", PROGRAM)
    assert again.returncode == 0 and len(cloud.calls("create")) == 1


def test_every_step_by_itself(cloud: Cloud):
    assert cloud.run("create", *TPU, V5E, "--project=other").returncode == 0
    assert "--project=other" in cloud.calls("create")[0]
    assert cloud.run("status", *TPU).stdout.splitlines() == ["READY v5litepod-16", "idle", "idle"]
    assert cloud.run("install", *TPU).returncode == 0
    done = cloud.run("run", *TPU, "--", PROGRAM)
    assert done.returncode == 0 and "arguments []" in done.stdout
    assert "arguments []" in cloud.run("log", *TPU).stdout
    assert cloud.run("status", *TPU).stdout.splitlines()[1:] == ["ended 0", "ended 0"]
    assert cloud.run("delete", *TPU).returncode == 0
    assert cloud.run("status", *TPU).stdout.splitlines()[0] == "ABSENT"


def test_a_program_outlives_its_connection_and_is_stopped(cloud: Cloud):
    (cloud.tpu / "slow").touch()
    cloud.script(follow=["drop"])
    process = cloud.start("train", *TPU, V5E, "--", PROGRAM)
    assert process.stdout.readline().startswith("arguments")  # after the drop: only then is it read
    assert cloud.run("status", *TPU).stdout.splitlines()[1:] == ["running", "running"]
    other = cloud.run("run", *TPU, "--", PROGRAM, "other")
    assert other.returncode == 2 and "another program is running" in other.stderr
    assert cloud.run("stop", *TPU).returncode == 0
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "was told to stop" in err


@pytest.mark.parametrize("queued", [(), ("--queued",)])
@pytest.mark.parametrize("fate", ["preempt", "suspend"])
def test_a_preempted_run_is_made_anew(cloud: Cloud, queued: tuple[str, ...], fate: str):
    cloud.script(follow=[fate, fate], create=["", "no_capacity"], describe=["", "creating"])
    done = cloud.run("train", *TPU, V5E, "--spot", *queued, "--", PROGRAM, "--workdir=gs://b/run")
    assert done.returncode == 0, done.stderr
    assert "arguments ['--workdir=gs://b/run']" in done.stdout and "note:" not in done.stderr
    assert len(cloud.calls("create")) == 4 and len(cloud.calls("delete")) == 2
    starts = [call for call in cloud.calls("ssh") if "start" in " ".join(call)]
    assert len(starts) == 3 and starts[0] == starts[1] == starts[2]
    assert cloud.calls("create")[0][2] == ("queued-resources" if queued else "tpu-vm")


# Of the other worker: none, as it waits; of training that lost a process; of JAX's abort.
@pytest.mark.parametrize("code", [None, 75, 134])
def test_a_restarted_worker_gets_its_program_again(cloud: Cloud, code: int | None):
    (cloud.tpu / "slow").touch()
    if code is not None:
        (cloud.tpu / "lonely").write_text(str(code))
    cloud.script(follow=["reboot"])
    process = cloud.start("train", *TPU, V5E, "--", PROGRAM)
    assert process.stdout.readline().startswith("arguments")
    assert cloud.run("status", *TPU).stdout.splitlines()[1:] == ["running", "running"]
    cloud.run("stop", *TPU)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143 and "a worker was restarted" in err


def test_an_abort_alone_is_a_failure(cloud: Cloud):
    (cloud.tpu / "lonely").write_text("134")
    done = cloud.run("train", *TPU, V5E, "--", PROGRAM)
    assert done.returncode == 2 and "failed with exit code 134" in done.stderr


def test_workers_that_lost_contact_start_again(cloud: Cloud):
    (cloud.tpu / "lonely").write_text("75")
    done = cloud.run("train", *TPU, V5E, "--", PROGRAM)
    assert done.returncode == 0, done.stderr
    assert "starting the program again on all" in done.stderr
    assert len(cloud.calls("create")) == 1


@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_that_fails_is_named_with_its_last_lines(cloud: Cloud, worker: int):
    (cloud.tpu / f"fail_{worker}").touch()
    failed = cloud.run("train", *TPU, V5E, "--", PROGRAM)
    assert failed.returncode == 2
    assert f"w-{worker}: the program ended with exit code 3" in failed.stderr
    assert "no such file: data.json" in failed.stdout
    assert "failed with exit code 3" in failed.stderr.splitlines()[-1]
    assert len(cloud.calls("create")) == 1


@pytest.mark.parametrize("queued", [(), ("--queued",)])
def test_a_dry_run_prints_what_would_run_and_runs_nothing(cloud: Cloud, queued: tuple[str, ...]):
    words = ("--", PROGRAM, "--a=it's two words", "--workdir=runs/x")
    dry = cloud.run("train", *TPU, V5E, "--dry_run", *queued, *words, path="/usr/bin:/bin")
    assert dry.returncode == 0, dry.stderr
    assert not cloud.calls("create", "describe", "delete", "scp", "ssh")
    printed = [shlex.split(line) for line in dry.stdout.splitlines()]
    kinds = [line[4] if line[0] == "gcloud" else line[0] for line in printed]
    expected = ["create", "describe", "tar", "scp", "ssh", "rm", "ssh", "ssh", "delete"]
    assert kinds == expected
    start = next(w for line in printed for w in line if " start " in w)
    assert shlex.split(start)[-3:] == [PROGRAM, *words[2:]]
    # and what it prints is what a real run calls
    cloud.run("train", *TPU, V5E, *queued, *words)
    real = [call[1:] for call in cloud.calls("create", "ssh") if "status" not in call[6]]
    same = [line[2:] for line in printed if line[4:5] in (["create"], ["ssh"])]
    assert [call[:-1] for call in real] == same  # but for --project, which gcloud was asked for


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "unknown subcommand ''"),
        (("dance",), "unknown subcommand 'dance'"),
        (("create", "--zone=here", V5E), "--name=NAME"),
        (("create", "--name=mine", V5E), "--zone=ZONE"),
        (("create", *TPU), "unknown --accelerator=''"),
        (("create", *TPU, "--accelerator=v5e-12"), "v5e-N or v6e-N"),
        (("create", *TPU, "--accelerator=v4-12"), "a multiple of 8"),
        (("create", *TPU, "--accelerator=h100-8"), "unknown --accelerator='h100-8'"),
        (("create", *TPU, V5E, "--spott"), "unknown argument '--spott'"),
        (("create", *TPU, "--poll_seconds=soon"), "is no number"),
        (("train", *TPU, V5E), "say what to run, after --"),
        (("run", *TPU, "--", "launch/none.py"), "no program launch/none.py"),
        (
            ("run", *TPU, "--", PROGRAM, "--config=configs/none.py:quick"),
            "no recipe configs/none.py",
        ),
        (("log", *TPU), "unusable state"),
    ],
)
def test_mistakes_get_one_clear_line(cloud: Cloud, words: tuple[str, ...], message: str):
    refused = cloud.run(*words)
    assert refused.returncode != 0 and message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not cloud.calls("create")


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_is_the_head(cloud: Cloud, word: str):
    told = cloud.run(word)
    assert told.returncode == 0 and "Subcommands:" in told.stdout and not told.stderr
    assert told.stdout.startswith("Runs a program") and "set -" not in told.stdout


@pytest.mark.parametrize("accelerator", ["v4-32", "v5p-8", "v6e-256", "v5litepod-64", "v5e-1"])
def test_the_image_fits_the_generation(cloud: Cloud, accelerator: str):
    images = {"v4": "tpu-ubuntu2204-base", "v5p": "v2-alpha-tpuv5", "v6e": "v2-alpha-tpuv6e"}
    image = images.get(accelerator.partition("-")[0], "v2-alpha-tpuv5-lite")
    dry = cloud.run("create", *TPU, f"--accelerator={accelerator}", "--dry_run")
    assert f"--version={image} " in dry.stdout
    own = cloud.run("create", *TPU, f"--accelerator={accelerator}", "--dry_run", "--runtime=new")
    assert "--version=new " in own.stdout


def test_no_gcloud_no_project_no_capacity_no_permission(cloud: Cloud, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for tool in ("dirname", "bash"):
        (tmp_path / "empty" / tool).symlink_to(shutil.which(tool))
    none = cloud.run("create", *TPU, V5E, path=str(tmp_path / "empty"))
    assert none.returncode == 2 and "gcloud is not installed" in none.stderr
    cloud.script(create=["no_capacity"], describe=["", "forbidden"])
    full = cloud.run("create", *TPU, V5E)
    assert full.returncode == 2 and "--queued" in full.stderr.splitlines()[-1]
    denied = cloud.run("create", *TPU, V5E)
    assert denied.returncode == 2 and "PERMISSION_DENIED" in denied.stderr
    (cloud.tpu / "project").unlink()
    unset = cloud.run("create", *TPU, V5E)
    assert unset.returncode == 2 and "--project=ID" in unset.stderr


def test_another_tpu_of_that_name_is_left_alone(cloud: Cloud):
    cloud.run("create", *TPU, V5E)
    other = cloud.run("train", *TPU, "--accelerator=v5e-64", "--", PROGRAM)
    assert other.returncode == 2 and "is a v5litepod-16" in other.stderr
    assert not cloud.calls("delete", "ssh")


def test_what_would_surprise_is_spoken_of(cloud: Cloud):
    words = ("train", *TPU, V5E, "--dry_run", "--", "launch/train.py")
    done = cloud.run(*words, "--workdir=runs/x")
    assert "--workdir=runs/x is on each worker's own disk" in done.stderr
    assert "without --coordinator=auto each worker" in done.stderr
    assert "note" not in cloud.run(*words, "--workdir=gs://b/x", "--coordinator=auto").stderr
    assert "note" not in cloud.run(*words, "--workdir", "gs://b/x", "--coordinator", "auto").stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_shellcheck():
    names = [f"launch/{name}" for name in ("tpu_vm.sh", "tpu_worker.sh")]
    checked = subprocess.run(["shellcheck", "-x", *names], cwd=REPOSITORY, capture_output=True)
    assert checked.returncode == 0, checked.stdout.decode()
