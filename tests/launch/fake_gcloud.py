#!/usr/bin/env python3
"""Stands in for gcloud: one TPU whose workers are folders, on which commands are really run.

$FAKE_TPU holds its state. `calls.jsonl`: every call's arguments; `state` and `accelerator`;
`workers`: how many; `worker_N`: their home folders. `script.json` maps a call, such as "create",
to what its first, second, ... time does instead or besides: see `ACTS`.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

TPU = Path(os.environ["FAKE_TPU"])
WORKERS = int((TPU / "workers").read_text())


def get(name: str) -> str:
    path = TPU / name
    return path.read_text() if path.exists() else "ABSENT"


def refuse(message: str) -> None:
    print(f"ERROR: (gcloud.compute.tpus) {message}", file=sys.stderr)
    sys.exit(1)


def lose_machine(state: str) -> None:
    """Kills what runs on the workers and wipes their disks."""
    for number in range(WORKERS):
        pid = TPU / f"worker_{number}" / "llava_jax_run" / "pid"
        if pid.exists():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(pid.read_text()), signal.SIGKILL)
        shutil.rmtree(TPU / f"worker_{number}", ignore_errors=True)
    (TPU / "state").write_text(state)


def reboot() -> None:
    """Kills what runs on worker 1, once a lonely program is gone; the disks stay."""
    while (TPU / "lonely").exists():
        time.sleep(0.01)
    pid = int((TPU / "worker_1" / "llava_jax_run" / "pid").read_text())
    while os.getpgid(pid) != pid:  # it has only just been started
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)


ACTS = {
    "preempt": lambda: (lose_machine("PREEMPTED"), refuse("the TPU is in an unusable state")),
    "suspend": lambda: (lose_machine("SUSPENDED"), refuse("the TPU is in an unusable state")),
    "reboot": lambda: (reboot(), sys.exit(255)),
    "drop": lambda: sys.exit(255),
    "no_capacity": lambda: refuse("There is no more capacity in the zone"),
    "forbidden": lambda: refuse("PERMISSION_DENIED: Permission 'tpu.nodes.get' denied"),
    "creating": lambda: (print("CREATING"), sys.exit(0)),
    "": lambda: None,
}


def act(call: str) -> None:
    """Does what the script says for this time of the call."""
    script = json.loads(get("script.json")) if (TPU / "script.json").exists() else {}
    if script.get(call):
        now = script[call].pop(0)
        (TPU / "script.json").write_text(json.dumps(script))
        ACTS[now]()


def create(flags: dict[str, str]) -> None:
    if get("state") != "ABSENT":
        refuse("ALREADY_EXISTS: Resource already exists")
    (TPU / "accelerator").write_text(flags["accelerator-type"])
    (TPU / "state").write_text("READY")
    for number in range(WORKERS):
        python = TPU / f"worker_{number}" / "llava_jax" / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        # pip would take minutes and a network; programs get the real thing
        python.write_text(f'#!/bin/sh\n[ "$2" = pip ] && exit 0\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)


def describe(flags: dict[str, str]) -> None:
    state = get("state")
    if state == "ABSENT":
        refuse("NOT_FOUND: Resource 'nodes/x' was not found")
    queue = "ACTIVE" if state in ("READY", "PREEMPTED") else state
    node = f"{state}\t{get('accelerator')}"
    print(queue if "state.state" in flags["format"] else node)


def ssh(flags: dict[str, str]) -> int:
    if get("state") != "READY":
        refuse("the TPU is in an unusable state")
    running = []
    for number in range(WORKERS):
        home = TPU / f"worker_{number}"
        hosts = home / "bin"
        hosts.mkdir(exist_ok=True)
        (hosts / "hostname").write_text(f"#!/bin/sh\necho t1v-n-0-w-{number}\n")
        (hosts / "hostname").chmod(0o755)
        environment = os.environ | {"HOME": str(home), "PATH": f"{hosts}:{os.environ['PATH']}"}
        command = ["bash", "-c", flags["command"]]
        running.append(subprocess.Popen(command, cwd=home, env=environment))
    return next((code for process in running if (code := process.wait())), 0)


def main() -> int:
    words = sys.argv[1:]
    with (TPU / "calls.jsonl").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] == "config":
        print(get("project") if (TPU / "project").exists() else "(unset)")
        return 0
    flags = dict(w[2:].partition("=")[::2] for w in words if w.startswith("--"))
    verb = words[3]
    command = flags.get("command", "")
    act(next((v for v in ("follow", "status", "install") if command.endswith(v)), verb))
    if verb == "create":
        create(flags)
    elif verb == "describe":
        describe(flags)
    elif verb == "delete":
        lose_machine("ABSENT")
        (TPU / "state").unlink()
    elif verb == "scp":
        for number in range(WORKERS):
            shutil.copy(words[4], TPU / f"worker_{number}" / words[5].partition(":")[2])
    elif verb == "ssh":
        return ssh(flags)
    return 0


sys.exit(main())
