"""launch/serve.py as its users run it: it says where it is, answers, and ends when told to."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from llava_jax.config import parse
from llava_jax.weights.workdir import save_recipe
from tests.conftest import REPOSITORY
from tests.serving.live import Live, body, picture, served, user
from tests.tiny_run import make_data, make_weights, tiny_recipe

CHAT = "/v1/chat/completions"


def test_who_was_let_in_is_answered(live: Live, monkeypatch: pytest.MonkeyPatch):
    """A signal: running and waiting answers come to their end, others are told to go elsewhere."""
    with served(engine=live.engine) as ending, ending.http() as client:
        step, held = ending.scheduler.step, threading.Event()
        monkeypatch.setattr(ending.scheduler, "step", lambda: held.wait(100) and step())
        asked = body(max_tokens=25, temperature=0)
        with ThreadPoolExecutor(8) as pool, ExitStack() as release:
            release.callback(held.set)
            answers = [pool.submit(client.post, CHAT, json=asked) for _ in range(8)]
            deadline = time.monotonic() + 60
            while ending.service._inside < 8:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            ending.server.handle_exit(signal.SIGTERM, None)
            late = client.post(CHAT, json=asked)
            assert late.status_code == 503 and late.json()["error"]["type"] == "server_error"
            assert client.get("/health").json() == {"status": "stopping"}
            held.set()
            contents = {a.result().json()["choices"][0]["message"]["content"] for a in answers}
        assert len(contents) == 1
        while ending.server.servers[0].is_serving():
            time.sleep(0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds an untrained run whose answers depend on every word and patch."""
    folder = tmp_path_factory.mktemp("serve")
    make_weights(folder, wild=True)
    make_data(folder)
    save_recipe(folder / "run", parse(tiny_recipe(folder)))
    return folder


def start(folder: Path, *flags: str, **environment: str) -> subprocess.Popen[str]:
    fixed = {
        "PYTHONPATH": str(REPOSITORY),
        "JAX_PLATFORMS": "cpu",
        "LLAVA_JAX_CACHE": str(folder / "cache"),
    }
    command = [sys.executable, str(REPOSITORY / "launch" / "serve.py"), "--checkpoint=run"]
    return subprocess.Popen(
        [*command, "--port=0", "--slots=2", *flags],
        env=os.environ | fixed | environment,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def program(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """It and its address."""
    program = start(folder, LLAVA_JAX_API_KEY="secret")
    assert program.stdout is not None
    said = program.stdout.readline().split()
    assert said[:3] == ["serving", "run", "at"], program.communicate()
    yield program, said[3].removesuffix("/v1")
    program.kill()


@pytest.mark.slow
def test_a_terminated_server_loses_no_request(program: tuple[subprocess.Popen[str], str]):
    """SIGTERM under load: whoever was let in has a whole answer, all others a refusal."""
    process, url = program
    assert url.startswith("http://127.0.0.1:")
    begun, told, outcomes = threading.Event(), threading.Event(), []

    def ask(number: int) -> None:
        headers = {"Authorization": "Bearer secret"}
        asked = body(user("What?", picture(number)), model="run", max_tokens=30, stream=True)
        with httpx2.Client(base_url=url, headers=headers, timeout=60) as client:
            while not told.is_set():
                try:
                    with client.stream("POST", CHAT, json=asked) as response:
                        lines = [line for line in response.iter_lines() if line]
                        begun.set()
                        whole = lines[-1:] == ["data: [DONE]"]
                        outcomes.append((response.status_code, whole))
                except httpx2.ConnectError:  # the door is shut
                    return

    with ThreadPoolExecutor(10) as pool:
        asking = [pool.submit(ask, number) for number in range(10)]
        assert begun.wait(60)
        told.set()
        process.send_signal(signal.SIGTERM)
        for each in asking:
            each.result()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert set(outcomes) <= {(200, True), (503, False)} and (200, True) in outcomes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--image_dir=none"], "--image_dir=none is no folder"),
        (["--checkpoint=none"], "none"),
        (["--slots=1"], "slots"),
        (["--host=192.0.2.1"], "cannot serve at 192.0.2.1"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, flags: list[str], message: str):
    process = start(folder, *flags)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2 and message in errors and "Traceback" not in errors


def test_a_taken_port(live: Live):
    from llava_jax.errors import UserError
    from llava_jax.serving.server import bind

    with pytest.raises(UserError, match="choose another --port"):
        bind("127.0.0.1", httpx2.URL(live.url).port or 0)
