"""Clients that are killed or interrupted, in processes of their own, and start again."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from llava_jax.remote.store import AnswerStore
from tests.conftest import REPOSITORY
from tests.remote.asking import prompt
from tests.remote.loopback import Loopback, Reply


def client(server: Loopback, path: Path, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.remote.asking", server.url, str(path), str(count)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, text=True, **pipes)


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def stored(path: Path, count: int) -> set[int]:
    """Which of the prompts are in the store, each once."""
    with AnswerStore(path) as store:
        assert path.read_bytes().count(b"\n") == len(store)
        return {i for i in range(count) if prompt(i).key("model") in store}


def kill_and_restart(path: Path, count: int, latency: float) -> None:
    """Kills a client twice in the middle; the third ends."""
    most = 0  # answers; beyond them it is silent until the client is dead

    def script(*_: object) -> Reply:
        return Reply(latency=latency if server.asked.total() <= most else 600.0)

    with Loopback(script) as server:
        for part in (1, 2):
            most = server.asked.total() + count // 3 + 16
            running = client(server, path, count)
            wait_for_lines(path, part * count // 3)
            running.kill()
            running.communicate()
            paid = stored(path, count)
            before = Counter(server.asked)
            assert count > len(paid) >= part * count // 3
        most = 10 * count
        finished = client(server, path, count)
        assert finished.communicate(timeout=600)[0].split() == [str(count)]
        assert all(server.asked[str(i)] == before[str(i)] for i in paid)
    assert stored(path, count) == set(range(count))
    # Those that ran, or were answered and not yet stored, when the client was killed.
    assert server.asked.total() <= count + 2 * 2 * 16


def test_kill_9_loses_nothing_that_was_paid(tmp_path: Path) -> None:
    kill_and_restart(tmp_path / "answers.jsonl", count=300, latency=0.02)


@pytest.mark.long
def test_kill_9_among_ten_thousand(tmp_path: Path) -> None:
    kill_and_restart(tmp_path / "answers.jsonl", count=10_000, latency=0.01)


def test_ctrl_c_finishes_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Loopback(lambda *_: Reply(latency=0.3)) as server:
        running = client(server, path, 1000)
        wait_for_lines(path, 10)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=200)
    assert "KeyboardInterrupt" in errors
    assert stored(path, 1000) == {int(content) for content in server.asked}
    assert server.asked.total() < 1000


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Loopback(lambda _, times: Reply(latency=600.0)) as server:
        running = client(server, path, 100)
        while not server.asked:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert running.poll() is None
        start = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=200)
    assert time.monotonic() - start < 60
    assert stored(path, 100) == set()


def test_a_cache_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Loopback(lambda *_: Reply(latency=600.0)) as server:
        first = client(server, path, 1)
        while not server.asked:
            time.sleep(0.01)
        second = client(server, path, 1)
        _, errors = second.communicate(timeout=200)
        os.kill(first.pid, signal.SIGKILL)
        first.communicate()
    assert f"another process is writing answers to {path}: wait until" in errors
    assert server.asked.total() == 1
