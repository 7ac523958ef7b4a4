"""Processes that wait in vain, and numbers that do not go together."""

import os
import socket
import subprocess
import sys

import pytest

from llava_jax.errors import UserError
from llava_jax.processes import first_alone, is_first, join
from tests.conftest import REPOSITORY

WAITS = """
import sys
from llava_jax import processes

processes._PATIENCE = 2
processes.join(sys.argv[1], 2, int(sys.argv[2]))
"""


@pytest.mark.parametrize("process", [0, 1])
def test_others_that_do_not_come(process: int):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    done = subprocess.run(
        [sys.executable, "-c", WAITS, coordinator, str(process)],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "error: waited 2 seconds in vain for the 2 processes" in done.stderr
    assert "same --processes?" in done.stderr.splitlines()[-1]


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
    with pytest.raises(UserError, match=message):
        join(*numbers)


def test_alone_is_first_and_waits_for_nobody():
    join("", 0, 0)
    assert is_first()
    with first_alone("nothing"):
        pass
