"""A server under load: many clients at once that ask, err, dawdle and leave, then SIGTERM.

  python benchmarks/load.py --checkpoint=DIR --out=load.json [--clients=200] [--seconds=300]

Starts launch/serve.py as its users do, asks every valid request once alone, then lets all clients
ask again and again. Promised, or the exit code is 1: every valid request has the answer that it had
alone, every bad one its 4xx, nobody a 5xx or a line that is cut; whom there is no room for is told
to wait (429 with Retry-After), and does; after the first fifth of the time, memory grows by at most
5%; SIGTERM, with all clients at work, loses nobody who was let in, and the server exits with 0.
Writes the figures, a plot of memory and queue beside them, and what the server said of errors.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import numpy as np
import psutil
from absl import flags
from load_clients import EXPECTED, Clients, client_of
from load_requests import make_kinds
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from llava_jax import launching

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "What is served.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_CLIENTS = flags.DEFINE_integer("clients", 200, "How many at once.", lower_bound=1)
_SECONDS = flags.DEFINE_integer("seconds", 300, "How long they ask.", lower_bound=10)
_SERVER = Path(__file__).resolve().parents[1] / "launch" / "serve.py"
_LONG_PROMPT = 1200  # characters
_WARM_UP = 0.2  # of the time
_GROWTH = 0.05  # of memory thereafter, at most
_EXIT_SECONDS = 120


class Sample(NamedTuple):
    """The server at a time: seconds since the clients began, resident bytes, its own counts."""

    seconds: float
    rss: int
    queue: float
    active: float
    tokens: float


def main() -> None:
    out = Path(_OUT.value)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of what ends the server
    with out.with_suffix(".log").open("w") as log, running_server(log) as (server, model, url):
        report = asyncio.run(measure(server, model, url))
    report["tracebacks"] = out.with_suffix(".log").read_text().count("Traceback")
    broken = broken_promises(report)
    samples = [sample._asdict() for sample in report["samples"]]
    written = {"broken": broken} | report | {"samples": samples}
    out.write_text(json.dumps(written, indent=1) + "\n")
    plot(report, out.with_suffix(".png"))
    show(report)
    if broken:
        sys.exit("broken: " + "; ".join(broken))


@contextmanager
def running_server(log: Any) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """It, what its model is called, and its address. log: file of what it says of errors."""
    command = [sys.executable, str(_SERVER), f"--checkpoint={_CHECKPOINT.value}", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server:
        try:
            assert server.stdout is not None
            said = server.stdout.readline().split()
            if said[:1] != ["serving"]:
                sys.exit(f"the server did not start: see {log.name}")
            yield server, said[1], said[3].removesuffix("/v1")
        finally:
            server.kill()


async def measure(server: subprocess.Popen[str], model: str, url: str) -> dict[str, Any]:
    """The report on one server, which is stopped."""
    async with client_of(url) as http:
        clients = Clients(http, make_kinds(model, _LONG_PROMPT))
        await clients.ask_alone()
        running = asyncio.create_task(clients.run(_CLIENTS.value))
        samples = await watch(http, psutil.Process(server.pid), running)
        clients.server_stops()
        server.send_signal(signal.SIGTERM)
        await running
        code = await asyncio.to_thread(exit_code, server)
    first, last = samples[0], samples[-1]
    return {
        "clients": _CLIENTS.value,
        "seconds": last.seconds,
        "load": round(os.getloadavg()[0], 1),
        "requests": clients.outcomes,
        "failures": clients.failures,
        "latency": {name: quantiles(took) for name, took in clients.seconds.items()},
        "tokens_per_second": round((last.tokens - first.tokens) / last.seconds, 1),
        "memory_growth": round(growth(samples), 4),
        "stop": {"answers_under_way": last.active + last.queue, "exit_code": code},
        "samples": samples,
    }


def exit_code(server: subprocess.Popen[str]) -> int | None:
    """None where it does not end."""
    try:
        return server.wait(_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        return None


async def watch(
    http: httpx2.AsyncClient, process: psutil.Process, running: asyncio.Task[None]
) -> list[Sample]:
    """Looks at the server each second, as long as the clients are to ask."""
    samples: list[Sample] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=_SECONDS.value)
        begun = time.monotonic()
        while not running.done() and (past := time.monotonic() - begun) < _SECONDS.value:
            families = text_string_to_metric_families((await http.get("/metrics")).text)
            now = {sample.name: sample.value for family in families for sample in family.samples}
            queue, active, tokens = (
                now[f"llava_{name}"]
                for name in ("queue_length", "active_slots", "generated_tokens_total")
            )
            rss = process.memory_info().rss
            samples.append(Sample(round(past, 1), rss, queue, active, tokens))
            progress.update(task, completed=past, description=f"{rss >> 20} MiB, {queue:.0f} wait")
            await asyncio.sleep(1)
    return samples


def growth(samples: Sequence[Sample]) -> float:
    """Of memory, from the end of the warm-up to its largest after that, as a part of the former."""
    after = [s.rss for s in samples if s.seconds >= _WARM_UP * samples[-1].seconds]
    return max(after) / after[0] - 1


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    values = np.quantile(seconds, [0.5, 0.9, 0.99]).round(2).tolist()
    return dict(zip(("p50", "p90", "p99"), values, strict=True))


def broken_promises(report: dict[str, Any]) -> list[str]:
    """In words; none for a good server."""
    failed = sum(sum(failures(counts).values()) for counts in report["requests"].values())
    code = report["stop"]["exit_code"]
    promises = (
        (not failed, f"{failed} requests failed, the first: {report['failures'][:1]}"),
        (not report["tracebacks"], f"{report['tracebacks']} tracebacks in the server's log"),
        (report["memory_growth"] <= _GROWTH, f"memory grew by {report['memory_growth']:.1%}"),
        (code == 0, f"after SIGTERM the server's exit code was {code}"),
    )
    return [words for held, words in promises if not held]


def failures(counts: dict[str, int]) -> dict[str, int]:
    return {outcome: count for outcome, count in counts.items() if outcome not in EXPECTED}


def plot(report: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    samples = report["samples"]
    seconds = [s.seconds for s in samples]
    figure, (memory, work) = plt.subplots(2, sharex=True, figsize=(8, 5), layout="constrained")
    memory.axvspan(0, _WARM_UP * seconds[-1], color="0.92", label="warm-up")
    memory.plot(seconds, [s.rss / 2**20 for s in samples])
    memory.set(ylabel="resident memory, MiB", ylim=(0, 1.1 * max(s.rss for s in samples) / 2**20))
    memory.legend(loc="lower right")
    work.plot(seconds, [s.queue for s in samples], label="answers that wait")
    work.plot(seconds, [s.active for s in samples], label="answers that grow")
    work.set(xlabel=f"seconds with {report['clients']} clients", ylim=(0, None))
    work.legend(loc="lower right")
    for axes in (memory, work):
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def show(report: dict[str, Any]) -> None:
    table = Table("requests", *EXPECTED, "failed", "p50, s", "p90, s", "p99, s")
    for name, counts in report["requests"].items():
        numbers = [*(counts[outcome] for outcome in EXPECTED), sum(failures(counts).values())]
        took = report["latency"].get(name, {}).values()
        table.add_row(name, *map(str, [*numbers, *took]))
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(table)
    first, last = report["samples"][0].rss >> 20, report["samples"][-1].rss >> 20
    console.print(
        f"{report['tokens_per_second']} tokens/s; memory {first} to {last} MiB, "
        f"{report['memory_growth']:.1%} after warm-up; machine's load {report['load']}; "
        f"{report['stop']['answers_under_way']:.0f} answers under way at SIGTERM, "
        f"then exit code {report['stop']['exit_code']}"
    )


if __name__ == "__main__":
    launching.run(main)
