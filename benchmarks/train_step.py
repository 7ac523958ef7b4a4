"""Training steps, prefill and tower of a pocket-sized LLaVA beside transformers on PyTorch.

  python benchmarks/train_step.py --out=report.json            # all cores
  python benchmarks/train_step.py --out=report.json --cores=1  # pinned to one

Both sides have the same weights, tokens and pixels, and every position is labelled; each runs in a
process of its own under the same memory settings, in turns. A ratio is their time over ours in the
same turn: above 1 we are faster. Wall time says what a user waits, and is only fair on an idle
machine: where others want the cores too, torch's threads spin for each other and its times grow
severalfold. There CPU time on one core is what to trust; the machine's load stands in the report.
What logits at labelled positions alone add is measured apart.
"""

import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from absl import flags

from llava_jax import launching

_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_CORES = flags.DEFINE_integer("cores", 0, "Cores to pin both sides to; 0: all.", lower_bound=0)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns of each side.", lower_bound=1)
_ONLY = flags.DEFINE_string("only", "", "Only comparisons whose name holds this.")
_COMPILE = flags.DEFINE_boolean("compile", True, "Also torch.compile, which takes minutes.")
_LABELLED = 64  # tokens of a row, where only labelled positions get logits
_TOLERANCE = 0.02  # between the losses of both sides, relative


@dataclass(frozen=True)
class Peer:
    """What ours is compared with: a mode of `Theirs`, perhaps through torch.compile."""

    mode: str
    compiled: bool = False
    bar: float = 0.0  # the ratio to reach; 0: none is set

    @property
    def name(self) -> str:
        return f"torch {self.mode}" + (", compiled" if self.compiled else "")


@dataclass(frozen=True)
class Comparison:
    """One of our programs beside its peers. labelled: see `Work`; 0: every position."""

    program: str
    dtype: str
    peers: tuple[Peer, ...]
    labelled: int = 0

    @property
    def name(self) -> str:
        labels = f", {self.labelled} labels a row" if self.labelled else ""
        return f"{self.program} {self.dtype}{labels}"


_BF16 = (Peer("bf16"), Peer("autocast"), Peer("bf16", compiled=True))
_F32 = (Peer("f32"), Peer("f32", compiled=True))
COMPARISONS = (
    Comparison("stage 2", "bf16", (Peer("bf16", bar=1.4), Peer("autocast", bar=1.7), _BF16[2])),
    Comparison("stage 2", "f32", (Peer("f32", bar=1.0), _F32[1])),
    Comparison("stage 1", "bf16", _BF16),
    Comparison("stage 1", "f32", _F32),
    Comparison("prefill", "bf16", (Peer("bf16", bar=1.0), *_BF16[1:])),
    Comparison("tower", "bf16", (Peer("bf16", bar=1.0), *_BF16[1:])),
    Comparison("stage 2", "bf16", (Peer("bf16"),), labelled=_LABELLED),
)


class Side:
    """A program in a process of its own, so that nobody else's memory lies between its own."""

    def __init__(self, comparison: Comparison, peer: Peer | None):
        """peer: whose; None: ours. Raises RuntimeError where it does not run."""
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, comparison, peer), daemon=True)
        self._process.start()
        there.close()  # so that its end is heard of
        self.wall: list[float] = []
        self.cpu: list[float] = []
        try:
            said = self._pipe.recv()  # once it is compiled
        except EOFError as error:
            raise RuntimeError("its process was lost; is there memory for it?") from error
        if isinstance(said, str):
            raise RuntimeError(said)
        self.result: float = said

    def turn(self) -> tuple[float, float]:
        """Runs once; seconds, and those of the processor."""
        self._pipe.send(None)
        return self._pipe.recv()

    def timed_turn(self) -> None:
        """A turn that counts."""
        wall, cpu = self.turn()
        self.wall.append(wall)
        self.cpu.append(cpu)

    def end(self) -> None:
        """Frees its memory."""
        self._process.kill()
        self._process.join()


def _serve(pipe: Connection, comparison: Comparison, peer: Peer | None) -> None:
    """A side's own process: what it computes or why it does not, then a run for each message."""
    try:
        run = _program(comparison, peer)
        result = run()
    except Exception as error:  # torch.compile fails in many ways
        pipe.send(f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}")
        return
    pipe.send(result)
    while True:
        pipe.recv()
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        pipe.send((time.perf_counter() - wall, time.process_time() - cpu))


def _program(comparison: Comparison, peer: Peer | None) -> Callable[[], float]:
    import jax.numpy as jnp
    import torch
    from pocket_llava import LENGTH, TOWER_IMAGE_SIZE, Ours, Theirs, Work

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    program, labelled = comparison.program, comparison.labelled
    if program == "tower":
        work = Work.random(TOWER_IMAGE_SIZE)
    else:
        work = Work.random(labelled=labelled or LENGTH)
    if peer:
        side: Ours | Theirs = Theirs(work, peer.mode, peer.compiled)
    else:
        side = Ours(work, jnp.bfloat16 if comparison.dtype == "bf16" else jnp.float32)
    if program == "tower":
        return side.tower()
    if program == "prefill":
        return side.prefill(1)
    if isinstance(side, Ours):
        return side.step(program, targets=labelled)
    return side.step(program)


def main() -> None:
    from llava_jax.training.metrics import say

    cores = sorted(os.sched_getaffinity(0))
    if _CORES.value:
        cores = cores[: _CORES.value]
        os.sched_setaffinity(0, cores)  # of the sides too, which this process starts
    chosen = [c for c in COMPARISONS if _ONLY.value in c.name]
    rows: list[dict[str, Any]] = []
    start = time.monotonic()
    for number, comparison in enumerate(chosen):
        left = (time.monotonic() - start) / number * (len(chosen) - number) if number else 0
        about = f", about {left / 60:.0f} min left" if left else ""
        say(f"{number + 1}/{len(chosen)} {comparison.name}{about}")
        rows.extend(_compare(comparison))
        _write(rows, len(cores))
    _show(rows)


def _compare(comparison: Comparison) -> list[dict[str, Any]]:
    """A row for each peer; a peer that does not run is a row that says why."""
    mine = Side(comparison, None)
    others: dict[Peer, Side | str] = {}
    for peer in comparison.peers:
        if peer.compiled and not _COMPILE.value:
            continue
        try:
            others[peer] = Side(comparison, peer)
        except RuntimeError as error:
            others[peer] = str(error)
    running = [mine, *(other for other in others.values() if isinstance(other, Side))]
    _take_turns(running)
    rows = []
    for peer, other in others.items():
        row = {"program": comparison.name, "peer": peer.name, "bar": peer.bar}
        row["load"] = round(os.getloadavg()[0], 1)  # processes that wanted to run, ours included
        rows.append(
            row | ({"failed": other} if isinstance(other, str) else _figures(peer, mine, other))
        )
    for side in running:
        side.end()
    return rows


def _take_turns(sides: Sequence[Side]) -> None:
    from llava_jax.training.metrics import say

    for side in sides:
        side.turn()  # the second run is not yet as fast as the others
    begun = time.monotonic()
    for turn in range(_ROUNDS.value):
        for side in sides:
            side.timed_turn()
        left = (time.monotonic() - begun) / (turn + 1) * (_ROUNDS.value - turn - 1)
        say(f"  turn {turn + 1}/{_ROUNDS.value}, {left:.0f} s left here")


def _figures(peer: Peer, mine: Side, other: Side) -> dict[str, Any]:
    if abs(mine.result - other.result) > _TOLERANCE * abs(mine.result):
        raise RuntimeError(f"{peer.name} computed {other.result}, we {mine.result}")
    ratio = _spread([b / a for a, b in zip(mine.wall, other.wall, strict=True)])
    return {
        "ratio": ratio,
        "cpu_ratio": _spread([b / a for a, b in zip(mine.cpu, other.cpu, strict=True)]),
        "met": ratio["median"] >= peer.bar if peer.bar else None,
        "seconds": {"ours": _spread(mine.wall), "theirs": _spread(other.wall)},
        "cpu_seconds": {"ours": _spread(mine.cpu), "theirs": _spread(other.cpu)},
        "results": {"ours": mine.result, "theirs": other.result},
    }


def _spread(values: list[float]) -> dict[str, float]:
    parts = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, 3) for name, value in parts.items()}


def _write(rows: list[dict[str, Any]], cores: int) -> None:
    report = {
        "cores": cores,
        "processor": _processor(),
        "versions": {name: version(name) for name in ("jax", "torch", "transformers")},
        "rounds": _ROUNDS.value,
        "rows": rows,
    }
    Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")


def _processor() -> str:
    """Its name, and which bfloat16 instructions it has: they decide these ratios."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    flags_of_it = " ".join(line for line in lines if line.startswith("flags")).split()
    has = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags_of_it]
    return " ".join([name or platform.processor(), *has])


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("program", "peer", "ratio", "in CPU time", "bar", "ours s", "theirs s")
    for row in rows:
        if "failed" in row:
            table.add_row(row["program"], row["peer"], row["failed"])
            continue
        shown = [
            "{median:.2f} ({min:.2f}..{max:.2f})".format(**row[key])
            for key in ("ratio", "cpu_ratio")
        ]
        bar = f"{row['bar']:.1f} {'met' if row['met'] else 'not met'}" if row["bar"] else ""
        seconds = [f"{row['seconds'][side]['median']:.3f}" for side in ("ours", "theirs")]
        table.add_row(row["program"], row["peer"], *shown, bar, *seconds)
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(table)


if __name__ == "__main__":
    launching.run(main)
