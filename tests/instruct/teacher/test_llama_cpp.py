"""A real if weak teacher over a real API: SmolLM2-135M behind llama.cpp's server.

It follows the format now and then, so what counts is that every request comes back with turns or
with the reason why not, and that nothing is asked twice.
"""

import importlib.util
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import openai
import pytest

from llava_jax.instruct.teacher.api import ApiTeacher
from llava_jax.instruct.turns import RESPONSES, Request, Response
from llava_jax.remote.budget import Budget
from llava_jax.remote.client import ask
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.prompt import Sampling
from llava_jax.remote.store import AnswerStore
from tests.instruct.drawn import drawn_scenes

STARTING = 120  # seconds that the server may take


@pytest.fixture(scope="module")
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    """The API of --teacher_url, or else one that is started here."""
    with ExitStack() as stack:
        url = request.config.getoption("--teacher_url")
        if not url:
            if importlib.util.find_spec("llama_cpp") is None:
                pytest.skip("no teacher: pass --teacher_url, or install llama-cpp-python[server]")
            url = started(stack, request.getfixturevalue("pocket_language"))
        with openai.OpenAI(base_url=url, api_key="none") as client:
            model = next(iter(client.models.list())).id
        yield Endpoint(url, model)


def started(stack: ExitStack, model: Path) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(__file__).with_name("llama_server.py")
    server = stack.enter_context(
        subprocess.Popen([sys.executable, str(script), str(model), str(port)])
    )
    stack.callback(server.kill)
    for _ in range(STARTING):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"http://127.0.0.1:{port}/v1"
        assert server.poll() is None, "the server ended"
        time.sleep(1)
    raise AssertionError("the server did not start")


def asked(endpoint: Endpoint, path: Path, requests: list[Request]) -> list[Response]:
    with AnswerStore(path) as store:
        put = partial(ask, endpoint=endpoint, store=store, budget=Budget(), at_once=1)
        sampling = Sampling(max_tokens=160, temperature=0.0)
        teacher = ApiTeacher(endpoint.model, put, budget=300, sampling=sampling)
        return sorted(teacher.respond(requests), key=lambda response: response.request.id)


@pytest.mark.slow
def test_a_weak_teacher_end_to_end(endpoint: Endpoint, tmp_path: Path) -> None:
    (scene,) = drawn_scenes(1)
    requests = [Request(scene, kind) for kind in RESPONSES["image"]]
    responses = asked(endpoint, tmp_path / "answers.jsonl", requests)
    assert [r.request.id for r in responses] == sorted(request.id for request in requests)
    for response in responses:
        print(response.request.id, response.usage, response.problem)
        print(*response.turns, sep="\n")
        assert bool(response.turns) != bool(response.problem)
        assert not response.problem or response.problem.startswith("unreadable: ")
        assert response.usage.prompt_tokens > 300 and response.usage.answer_tokens > 0
    assert any(response.turns for response in responses)
    # Nobody listens on the discard port: all of it must come from the store.
    gone = replace(endpoint, base_url="http://127.0.0.1:9/v1")
    assert asked(gone, tmp_path / "answers.jsonl", requests) == responses
