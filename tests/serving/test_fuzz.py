"""Whatever clients send, the fault is never the server's."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inference import tiny
from tests.serving.live import MODEL, Live, data_uri, encoded, image_part, picture

CHAT = "/v1/chat/completions"
FAST, LONG = 100, 3500  # cases of each of the three kinds
JSON = {"Content-Type": "application/json"}

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What is right, and now and then anything."""
    return st.integers(0, 9).flatmap(lambda number: right if number else ANYTHING)


def optional(**fields: st.SearchStrategy[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: mostly(values) for name, values in fields.items()}


TEXT = st.text(max_size=30) | st.sampled_from(["<image>", "</s>", "<|im_end|>", "\0", "\u202e"])
URL = st.sampled_from([picture(1)["image_url"]["url"], "data:", "http://a/b", "file:///x"]) | TEXT
PART = st.fixed_dictionaries({"type": mostly(st.just("text")), "text": mostly(TEXT)}) | st.builds(
    image_part, mostly(URL)
)
MESSAGE = st.fixed_dictionaries(
    {
        "role": mostly(st.sampled_from(["system", "user", "assistant", "user"])),
        "content": mostly(TEXT | st.lists(mostly(PART), max_size=4)),
    },
    optional=optional(name=TEXT, refusal=st.none()),
)
LAST = st.builds(lambda content: {"role": "user", "content": content}, TEXT)
MESSAGES = st.builds(lambda all, last: [*all, last], st.lists(mostly(MESSAGE), max_size=3), LAST)
BODY = st.fixed_dictionaries(
    {
        "model": st.just(MODEL),
        "messages": mostly(MESSAGES),
        "max_tokens": mostly(st.integers(1, 3)),
    },
    optional=optional(
        temperature=st.floats(0, 2),
        top_p=st.floats(0, 1),
        n=st.integers(1, 3),
        seed=st.integers(-(2**63), 2**63 - 1),
        stop=TEXT | st.lists(TEXT, max_size=4),
        logprobs=st.booleans(),
        top_logprobs=st.integers(0, 20),
        stream=st.booleans(),
        stream_options=st.fixed_dictionaries({"include_usage": st.booleans()}),
        user=TEXT,
        tools=st.just([]),
    ),
) | st.dictionaries(st.text(max_size=9), ANYTHING, max_size=4)

IMAGES = [encoded(tiny.picture(1), form) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]


@st.composite
def damaged_image(draw: st.DrawFn) -> bytes:
    """An image with some bytes changed, left out or put in."""
    image = bytearray(draw(st.sampled_from(IMAGES)))
    for _ in range(draw(st.integers(1, 6))):
        # Most headers are short: what stands in them is hit more often.
        place = draw(st.integers(0, 60) | st.integers(0, len(image)))
        end = place + draw(st.sampled_from([0, 1, 1, 4, 500]))
        image[place:end] = draw(st.binary(max_size=4))
    return bytes(image)


def never_fails(live: Live, send: Callable[[httpx2.Client, Any], httpx2.Response]) -> Any:
    client = live.http()

    def check(case: Any) -> None:
        response = send(client, case)
        assert response.status_code < 500
        if response.status_code >= 400:
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}
        assert '"server_error"' not in response.text
        assert not live.service.worker.failed

    return check


def send_body(client: httpx2.Client, case: Any) -> httpx2.Response:
    return client.post(CHAT, content=json.dumps(case).encode(), headers=JSON)


def send_bytes(client: httpx2.Client, case: bytes) -> httpx2.Response:
    return client.post(CHAT, content=case, headers=JSON)


def send_image(client: httpx2.Client, case: bytes) -> httpx2.Response:
    message = {"role": "user", "content": [image_part(data_uri(case))]}
    return send_body(client, {"model": MODEL, "messages": [message], "max_tokens": 1})


@st.composite
def damaged_body(draw: st.DrawFn) -> bytes:
    """JSON with a hole or something foreign in it."""
    text = json.dumps(draw(BODY)).encode()
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.binary(max_size=3)) + text[place + draw(st.integers(0, 5)) :]


@pytest.mark.parametrize("cases", [FAST, pytest.param(LONG, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("sent", "send"),
    [(BODY, send_body), (damaged_body(), send_bytes), (damaged_image(), send_image)],
    ids=["bodies", "bytes", "images"],
)
def test_the_fault_is_never_ours(live: Live, cases: int, sent: st.SearchStrategy, send: Callable):
    check = never_fails(live, send)
    run = settings(
        max_examples=cases,
        derandomize=cases == FAST,  # the long run looks for what nobody has seen
        suppress_health_check=list(HealthCheck),
    )
    run(given(sent)(lambda case: check(case)))()
