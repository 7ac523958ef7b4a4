"""How near the client of chat APIs comes to an endpoint's own limit, and to its own.

  python benchmarks/teacher_throughput.py --out=docs/teacher_throughput.json

A server in another process answers after --latency seconds, --at_once requests at a time, and
refuses (429) what is beyond; the client is allowed twice as many, and must find the limit. Ideal is
prompts * latency / at_once. Then the same with a server that answers at once: what is left is the
client's own work (prompt keys, HTTP, JSON, fsync), which bounds its rate on one core.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from absl import flags

from llava_jax import launching
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Message, Prompt
from llava_jax.remote.store import AnswerStore

_PROMPTS = flags.DEFINE_integer("prompts", 10_000, "How many.", lower_bound=1)
_LATENCY = flags.DEFINE_float("latency", 1.0, "Seconds of the endpoint's answer.")
_AT_ONCE = flags.DEFINE_integer("at_once", 64, "Requests that the endpoint takes at once.")
_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_SERVER = Path(__file__).resolve().parents[1] / "tests" / "remote" / "loopback.py"
_FEW_SHOTS = "A scene and what might be said about it. " * 75  # 3 KB, as a teacher is sent


def main() -> None:
    limited = measure(_PROMPTS.value, _LATENCY.value, _AT_ONCE.value)
    own = measure(_PROMPTS.value, 0.0, _AT_ONCE.value)
    over_ideal = round(limited["seconds"] / limited["ideal_seconds"] - 1, 3)
    report = {"limited": limited | {"over_ideal": over_ideal}, "own_limit": own}
    content = json.dumps(report, indent=1)
    Path(_OUT.value).write_text(content + "\n")
    print(content)


def measure(prompts: int, latency: float, at_once: int) -> dict[str, Any]:
    """Asks so many prompts of a server with this latency (seconds) and capacity (requests)."""
    command = [sys.executable, str(_SERVER), str(latency), str(at_once)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        assert server.stdout
        endpoint = Endpoint(server.stdout.readline().strip(), "loopback", "none")
        questions = ((number, _prompt(number)) for number in range(prompts))
        start, cpu = time.perf_counter(), time.process_time()
        with AnswerStore(Path(folder) / "answers.jsonl") as store:
            answers = ask(questions, endpoint, store, Budget(), at_once=2 * at_once, total=prompts)
            answered = sum(not answer.problem for _, answer in answers)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        counts = json.loads(server.communicate()[0])
    return {
        "prompts": prompts,
        "answered": answered,
        "latency": latency,
        "at_once": at_once,
        "seconds": round(seconds, 2),
        "ideal_seconds": prompts * latency / at_once,
        "per_second": round(prompts / seconds, 1),
        "client_cpu_ms_per_prompt": round(1e3 * cpu / prompts, 2),
        "refused": counts["refused"],
        "most_at_once": counts["most"],
    }


def _prompt(number: int) -> Prompt:
    return Prompt((Message("system", _FEW_SHOTS), Message("user", f"Scene {number}")))


if __name__ == "__main__":
    launching.run(main)
