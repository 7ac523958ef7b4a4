"""Trains and evaluates the runs of an ablation, one after another; finished ones stay."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from llava_jax.errors import Stopped
from llava_jax.evaluation.ablation.plan import Run
from llava_jax.report import read_report
from llava_jax.run_folder import write_whole

Figure = Mapping[str, float]  # value, low, high, in the unit that reports show
Command = list[str]

_STOPPED = (130, 143, -2, -15)  # how a program ends that was told to


@dataclass(frozen=True)
class Outcome:
    """What became of a run. failed: the command that did not succeed; "" if all did."""

    name: str
    commands: Sequence[Command]
    figures: Mapping[str, Figure]
    failed: str = ""


def run_all(
    wanted: Iterable[Run],
    commands: Callable[[Run, Path], list[Command]],
    out: Path,
    console: Console,
) -> dict[str, Outcome]:
    """Runs each one's commands in turn; outcomes by the run's name, and in OUT/runs.json.

    What stands there with figures and the same commands is not run again. A run that fails is
    noted, and the others go on.

    Raises Stopped where a command was told to stop.
    """
    file = out / "runs.json"
    known: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    outcomes: dict[str, Outcome] = {}
    wanted = list(wanted)
    for number, run in enumerate(wanted, start=1):
        workdir = out / "runs" / run.name
        now = commands(run, workdir)
        console.rule(f"{number} of {len(wanted)}: {run.name}")
        before = known.get(run.name)
        if before and not before["failed"] and before["commands"] == now:
            outcomes[run.name] = Outcome(**before)
            continue
        failed = _run(now)
        figures = {} if failed else figures_of(workdir)
        outcomes[run.name] = Outcome(run.name, now, figures, failed)
        known[run.name] = asdict(outcomes[run.name])
        write_whole(file, (json.dumps(known, indent=2) + "\n").encode())
    return outcomes


def figures_of(workdir: Path) -> dict[str, Figure]:
    """What a run reached, by its own report and that of its benchmarks."""
    found: dict[str, Figure] = {
        name: {end: 100 * figure[end] for end in ("value", "low", "high")}
        for name, figure in read_report(workdir).get("held_out", {}).items()
    }
    for name, entry in read_report(workdir / "benchmarks").items():
        if isinstance(entry, dict) and entry.get("name") == name and entry["overall"]:
            found[name] = {end: entry["overall"][end] for end in ("value", "low", "high")}
    return found


def _run(commands: Sequence[Command]) -> str:
    """The first command that failed, as it is typed; "" if none did. 3: some input set aside."""
    for command in commands:
        code = _exit_code(command)
        if code in _STOPPED:
            raise Stopped("stopped; the same command goes on from here")
        if code not in (0, 3):
            return f"{' '.join(command)} (exit code {code})"
    return ""


def _exit_code(command: Command) -> int:
    """Runs a command, and passes SIGTERM on to it: what it has done so far it then saves."""
    running: list[subprocess.Popen[bytes]] = []
    told = threading.Event()

    def pass_on(*_: object) -> None:
        told.set()
        for process in running:
            process.terminate()

    before = signal.signal(signal.SIGTERM, pass_on)  # before there is what it could leave behind
    try:
        with subprocess.Popen(command) as process:
            running.append(process)
            if told.is_set():
                process.terminate()
            return process.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
