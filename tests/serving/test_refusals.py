"""What is refused: with which status, in OpenAI's shape, and without a word of our insides."""

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from llava_jax.serving import gate
from tests.inference import tiny
from tests.serving.live import MODEL, Live, body, data_uri, encoded, image_part, served, user

CHAT = "/v1/chat/completions"
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "Yes."}


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error, whose shape is checked."""
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and "Traceback" not in error["message"]
    return error


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [user("Hi")] * 257}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [user("Hi") | {"audio": {}}]}, None),
        ({"messages": [user("Hi"), SYSTEM, user("Hi")]}, "messages[1]"),
        ({"messages": [SYSTEM]}, "messages[0]"),
        ({"messages": [user("Hi"), ANSWER]}, "messages[1]"),
        ({"messages": [user("\ud800")]}, "messages[0].content"),
        ({"stop": ["\udfff"]}, "stop[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**6}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": 2**70}, "max_completion_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 1.01}, "top_p"),
        ({"n": 9}, "n"),
        ({"n": 1.5}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["x" * 257]}, "stop[0]"),
        ({"logprobs": "yes"}, "logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"top_logprobs": 2}, None),
        ({"stream_options": {"include_usage": True}}, None),
        ({"stream": True, "stream_options": {"x": 1}}, None),
        ({"tools": [{"type": "function"}]}, None),
        ({"response_format": {"type": "json_object"}}, None),
        ({"max_token": 3}, None),
        ({"\ud800" * 500: 3}, None),
    ],
)
def test_a_wrong_request(live: Live, change: dict[str, Any], param: str | None):
    import json

    content = json.dumps(body(**change))
    headers = {"Content-Type": "application/json"}
    with live.http() as client:
        response = client.post(CHAT, content=content, headers=headers)
    assert response.status_code == 400
    error = error_of(response)
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    "change",
    [
        {"user": "me", "metadata": {"a": 1}, "store": False},
        {"tools": [], "frequency_penalty": 0.0, "logit_bias": {}, "presence_penalty": None},
        {"response_format": {"type": "text"}, "seed": None, "stop": None},
        {"top_p": 0, "temperature": 1e-300},
        {"messages": [{"role": "developer", "content": "Be brief."}, SYSTEM, user("Hi")]},
        {"messages": [ANSWER, user("Hi") | {"name": "me"}]},
    ],
)
def test_what_changes_no_answer_is_taken(live: Live, change: dict[str, Any]):
    with live.http() as client:
        assert client.post(CHAT, json=body(**change)).status_code == 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff", b'"x"', b"null", b"[" * 100_000, b'{"n":' + b"9" * 5000]
)
def test_what_is_no_object(live: Live, content: bytes):
    with live.http() as client:
        headers = {"Content-Type": "application/json"}
        response = client.post(CHAT, content=content, headers=headers)
        assert response.status_code == 400 and error_of(response)
        assert client.post(CHAT, content=b"{}").status_code == 400  # JSON must be called so


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/other", 404),
        ("POST", CHAT + "/", 404),
        ("GET", CHAT, 405),
        ("DELETE", "/v1/models", 405),
    ],
)
def test_other_places(live: Live, method: str, path: str, status: int):
    with live.http() as client:
        response = client.request(method, path)
    assert response.status_code == status and error_of(response)


def test_another_model(live: Live):
    with live.http() as client:
        response = client.post(CHAT, json=body(model="gpt"))
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"


@pytest.mark.parametrize("length", [300, 20_000])
def test_a_prompt_too_long(live: Live, length: int, monkeypatch: pytest.MonkeyPatch):
    """One that is far too long costs no time."""
    if length > 300:
        monkeypatch.setattr(live.engine, "prepare", None)
    with live.http() as client:
        response = client.post(CHAT, json=body(user("x" * length)))
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"


def test_images_elsewhere_than_in_user_messages(live: Live):
    image = image_part(data_uri(encoded(tiny.picture(1))))
    with live.http() as client:
        for role in ("system", "assistant"):
            message = {"role": role, "content": [image]}
            response = client.post(CHAT, json=body(message, user("Hi")))
            assert response.status_code == 400
            assert error_of(response)["param"] == "messages[0]"
        response = client.post(CHAT, json=body(user(*[image] * 17)))
        assert response.status_code == 400 and "16 images" in error_of(response)["message"]


def test_a_body_too_large(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate, "LARGEST_BODY", 2**20)
    large = b" " * (3 * 2**20)
    with live.http() as client:
        assert client.post(CHAT, content=large).status_code == 413
        pieces = iter([large[: 2**19]] * 6)  # nothing says how many come
        response = client.post(CHAT, content=pieces)
        assert response.status_code == 413 and error_of(response)
        assert client.post(CHAT, json=body()).status_code == 200


def test_bodies_that_are_too_many(live: Live, monkeypatch: pytest.MonkeyPatch):
    """However many clients send, what they send fits into memory."""
    monkeypatch.setattr(gate, "MOST_BODIES", 1000)
    address = httpx2.URL(live.url)
    with live.http() as client:
        with socket.create_connection((address.host, address.port), timeout=20) as stalled:
            head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n"
            stalled.sendall(head.encode() + b" " * 990)
            until(lambda: client.post(CHAT, json=body()).status_code == 429)
            refused = client.post(CHAT, json=body())
            assert refused.headers["retry-after"] == "1" and error_of(refused)
        until(lambda: client.post(CHAT, json=body()).status_code == 200)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_body_that_does_not_come(live: Live, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(gate, "_LINGER_SECONDS", 0.1)
    address = httpx2.URL(live.url)
    with socket.create_connection((address.host, address.port), timeout=20) as client:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        client.sendall(head.encode() + b"{")
        assert client.recv(1000).startswith(b"HTTP/1.1 408")


def test_headers_too_large(live: Live):
    address = httpx2.URL(live.url)
    with socket.create_connection((address.host, address.port), timeout=20) as client:
        client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000)
        assert client.recv(1000).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("image", [False, True])
def test_a_client_that_leaves_frees_its_slot(
    live: Live, image: bool, monkeypatch: pytest.MonkeyPatch
):
    """Whole answers and streams; the queue is empty long before they could have ended."""
    slow_down(live, monkeypatch)
    written = live.service.metrics._written._value.get()
    parts = [image_part(data_uri(encoded(tiny.picture(9))))] if image else []
    endless = body(user("Hi", *parts), max_tokens=150, n=8, temperature=1.5)
    with live.http() as client:
        for stream in (False, True):
            with pytest.raises(httpx2.ReadTimeout):
                request = {"json": endless | {"stream": stream}, "timeout": 0.3}
                with client.stream("POST", CHAT, **request) as response:
                    while True:
                        next(response.iter_raw())
                        client_gone(response)
    until(lambda: not (live.service.busy or live.scheduler.active or live.scheduler.waiting))
    assert live.service.worker._taken == 0 and not live.service.worker._followers
    assert live.service.metrics._written._value.get() - written < 1000  # of 2,400


def slow_down(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step takes as long as of a model of some size."""
    step = live.scheduler.step

    def slow() -> bool:
        time.sleep(0.02)
        return step()

    monkeypatch.setattr(live.scheduler, "step", slow)


def client_gone(response: httpx2.Response) -> None:
    """As when the line is cut in the middle of an answer."""
    raise httpx2.ReadTimeout("cut")


def test_a_full_queue(live: Live, monkeypatch: pytest.MonkeyPatch):
    with served(engine=live.engine, places=1) as small, small.http() as client:
        slow_down(small, monkeypatch)
        endless = body(max_tokens=200, n=8, stream=True, temperature=1.5)
        with client.stream("POST", CHAT, json=endless) as first:
            lines = first.iter_lines()
            next(lines)
            refused = client.post(CHAT, json=body())
            assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
            assert error_of(refused)["code"] == "rate_limit_exceeded"
            assert client.get("/health").status_code == 200
        until(lambda: client.post(CHAT, json=body()).status_code != 429)
        assert client.post(CHAT, json=body()).status_code == 200


def test_the_key(live: Live):
    with served(engine=live.engine, api_key="söcret") as closed, closed.http() as client:
        right = {"Authorization": "Bearer söcret".encode()}
        for path in ("/v1/models", "/metrics", "/openapi.json", "/docs", "/nothing"):
            for key in ({}, {"Authorization": "Bearer x"}, {"Authorization": "söcret x"}):
                headers = {name: value.encode() for name, value in key.items()}
                response = client.get(path, headers=headers)
                assert response.status_code == 401
                assert error_of(response)["code"] == "invalid_api_key"
            assert client.get(path, headers=right).status_code == (404 if path[1] == "n" else 200)
        assert client.post(CHAT, json=body()).status_code == 401
        assert client.post(CHAT, json=body(), headers=right).status_code == 200
        assert client.get("/health").status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_worker_fails_nobody_waits(live: Live, monkeypatch: pytest.MonkeyPatch):
    with served(engine=live.engine) as broken, broken.http() as client:
        slow_down(broken, monkeypatch)
        endless = body(max_tokens=200, n=8, stream=True, temperature=1.5)
        with client.stream("POST", CHAT, json=endless) as stream:
            lines = stream.iter_lines()
            next(lines)

            def fail() -> bool:
                raise RuntimeError("out of memory at 0x7f")

            monkeypatch.setattr(broken.scheduler, "step", fail)
            *_, last, _ = lines
            assert '"type":"server_error"' in last and "0x7f" not in last
        for _ in range(2):
            response = client.post(CHAT, json=body())
            assert response.status_code == 500
            assert error_of(response)["type"] == "server_error"
        response = client.get("/health")
        assert (response.status_code, response.json()) == (503, {"status": "failed"})


def test_an_error_of_ours_is_not_told(live: Live, monkeypatch: pytest.MonkeyPatch):
    def fail(_: Any) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr(live.engine, "prepare", fail)
    with live.http() as client:
        response = client.post(CHAT, json=body())
    assert response.status_code == 500 and "secret" not in error_of(response)["message"]


def test_metrics_count(live: Live):
    with live.http() as client:
        before = client.get("/metrics").text
        assert client.post(CHAT, json=body(user("Count"), max_tokens=2)).status_code == 200
        client.post(CHAT, json=body(n=0))
        after = client.get("/metrics").text

    def value(text: str, name: str) -> float:
        found = [line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")]
        return float(found[0]) if found else 0.0

    for name in ('llava_requests_total{status="200"}', 'llava_requests_total{status="400"}'):
        assert value(after, name) == value(before, name) + 1
    assert value(after, "llava_generated_tokens_total") == (
        value(before, "llava_generated_tokens_total") + 2
    )
    for name in ("llava_queue_length", "llava_active_slots"):
        assert f"\n{name} 0.0" in after
    assert "llava_time_to_first_token_seconds_bucket" in after
    assert "llava_tokens_per_second_count" in after and "llava_images_known" in after
    assert "process_resident_memory_bytes" in after
    assert MODEL not in after
