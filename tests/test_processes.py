"""Processes that wait in vain, and numbers that do not go together."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from llava_jax.errors import UserError
from llava_jax.processes import first_alone, is_first, joined
from tests.conftest import REPOSITORY

WAITS = """
import sys
import jax
from llava_jax import processes

processes._PATIENCE = 2
begin = jax.distributed.initialize  # whose own end, two seconds after, would cut the sentence off
jax.distributed.initialize = lambda **options: begin(**options | {"initialization_timeout": 100})
with processes.joined(sys.argv[1], 2, int(sys.argv[2])):
    pass
"""

ENDS = """
import os, signal, time
from absl import flags
from llava_jax import launching
from llava_jax.errors import SetAside, Stopped, UserError

numbers = launching.define_processes()
ending = flags.DEFINE_string("end", None, "How the process ends, or after how many seconds.")
hidden = flags.DEFINE_bool("hidden", False, "Whether process 0 cannot be reached.")

def refuse(*_, **__):
    raise OSError("no way")

def main():
    import jax
    from llava_jax import lifeline
    from llava_jax.processes import joined

    lifeline._SILENCE, lifeline._GRACE = 5, 3
    if hidden.value:
        lifeline._PATIENCE = 1
        lifeline.socket.create_connection = refuse
    if ending.value == "unsaved":  # what is said of another's death comes last
        listen = lifeline.Lifeline._listen
        lifeline.Lifeline._listen = lambda *own: (time.sleep(1.5), listen(*own))
    with joined(*numbers()):
        time.sleep(0.5 * numbers()[2])
        end = ending.value
        if end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if end == "unsaved":
            time.sleep(1)
            raise UserError("could not save a checkpoint")
        if end == "mistaken":
            raise UserError("something to mend")
        if end == "broken":
            raise ZeroDivisionError
        if end == "full":
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        if end == "partly":
            raise SetAside("one answer")
        if end == "stopped":
            raise Stopped("stopped after step 3")
        time.sleep(int(end))

launching.run(main)
"""


def address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("process", [0, 1])
def test_others_that_do_not_come(process: int):
    waiting = start(WAITS, address(), str(process))
    _, errors = waiting.communicate(timeout=100)
    assert waiting.returncode == 2
    assert "error: waited 2 seconds in vain for the 2 processes" in errors
    assert "same --processes?" in errors


LOST = "lost contact with another process of the run: start all of them again"
MEND = "error: something to mend"
BUG = "ZeroDivisionError\n"


@pytest.mark.parametrize(
    ("ends", "codes", "sentences"),
    [
        (("600", "600", "killed"), (75, 75, -9), (LOST, LOST, "")),
        (("unsaved", "killed"), (75, -9), (LOST, "")),
        (("600", "mistaken"), (75, 2), (LOST, MEND)),
        (("mistaken", "600"), (2, 75), (MEND, LOST)),
        (("600", "broken"), (75, 1), (LOST, BUG)),
        (("broken", "600"), (1, 75), (BUG, LOST)),
        (("full", "600"), (1, 75), ("RESOURCE_EXHAUSTED: out of memory\n", LOST)),
        (("mistaken", "mistaken"), (2, 2), (MEND, MEND)),
        (("stopped", "stopped"), (143, 143), ("stopped after step 3", "stopped after step 3")),
        (("partly", "2"), (3, 0), ("finished, but: one answer", "")),
        (("0", "600", "killed"), (75, 75, -9), (LOST, LOST, "")),
        (("0", "2"), (0, 0), ("", "")),
    ],
)  # fmt: skip
def test_how_one_ends_the_other_hears_of(
    ends: tuple[str, ...], codes: tuple[int, ...], sentences: tuple[str, ...]
):
    for process, code, sentence in zip(run(*ends), codes, sentences, strict=True):
        _, errors = process.communicate(timeout=200)
        assert process.returncode == code, errors
        assert sentence in errors and "*** Check failure" not in errors
        assert errors.count("\n") <= 1 or code == 1


def run(*ends: str, hidden: bool = False) -> list[subprocess.Popen]:
    flags = [f"--coordinator={address()}", f"--processes={len(ends)}", f"--hidden={hidden}"]
    return [start(ENDS, *flags, f"--process={i}", f"--end={end}") for i, end in enumerate(ends)]


def test_the_first_killed_leaves_nobody_waiting():
    first, second = run("killed", "600")
    _, errors = second.communicate(timeout=200)
    # JAX's own abort may be quicker than the sentence.
    assert (second.returncode == 75 and LOST in errors) or second.returncode == -signal.SIGABRT
    assert first.wait() == -signal.SIGKILL


def test_a_first_that_cannot_be_reached():
    first, second = run("0", "0", hidden=True)
    for process in (first, second):
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    assert "process 1 cannot reach process 0 at 127.0.0.1:" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (("", 2, 0), "need --coordinator"),
        (("", 0, 1), "need --coordinator"),
        (("127.0.0.1:1", 2, 2), "number the processes from 0"),
        (("127.0.0.1:1", 2, -1), "number the processes from 0"),
    ],
)
def test_numbers_that_do_not_go_together(numbers: tuple[str, int, int], message: str):
    with pytest.raises(UserError, match=message), joined(*numbers):
        pass


def test_alone_is_first_and_waits_for_nobody():
    with joined("", 0, 0), first_alone("nothing"):
        assert is_first()
