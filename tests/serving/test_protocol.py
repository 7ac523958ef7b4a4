"""What a response says beyond its text: log-probabilities, and the form of a stream."""

import json
from typing import Any

import pytest

from llava_jax.inference.answers import AnswerText, Prompt, Token, Writing
from llava_jax.inference.sampling import SamplingParams
from llava_jax.serving.completion import completion
from llava_jax.serving.protocol import ChatRequest
from tests.inference import tiny
from tests.serving.live import MODEL, Live, body, picture, user

CHAT = "/v1/chat/completions"
LIKELY: dict[str, Any] = {"logprobs": True, "top_logprobs": 3, "temperature": 0, "max_tokens": 12}


def test_log_probabilities(live: Live):
    """Greedy: the likeliest token is the one that was taken."""
    got = live.client().chat.completions.create(
        model=MODEL, messages=[user(picture(1), "What?")], **LIKELY
    )
    (choice,) = got.choices
    content = choice.logprobs.content
    assert len(content) == got.usage.completion_tokens - (choice.finish_reason == "stop")
    for token in content:
        assert token.logprob <= 0 and len(token.top_logprobs) == 3
        assert (token.token, token.logprob) == (
            token.top_logprobs[0].token,
            token.top_logprobs[0].logprob,
        )
    data = b"".join(bytes(token.bytes) for token in content)
    assert data.decode("utf-8", "replace").strip() == choice.message.content


def test_a_stream_gives_the_same_log_probabilities(live: Live):
    asked = {"model": MODEL, "messages": [user("Hi")], **LIKELY}
    whole = live.client().chat.completions.create(**asked)
    streamed = [
        token
        for chunk in live.client().chat.completions.create(stream=True, **asked)
        for choice in chunk.choices
        if choice.logprobs
        for token in choice.logprobs.content
    ]
    assert [t.token for t in streamed] == [t.token for t in whole.choices[0].logprobs.content]
    for one, other in zip(streamed, whole.choices[0].logprobs.content, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-5)


def test_without_the_wish_there_are_none(live: Live):
    with live.http() as client:
        answer = client.post(CHAT, json=body()).json()
    assert answer["choices"][0]["logprobs"] is None
    likely = body(logprobs=True, max_tokens=2)
    with live.http() as client:
        answer = client.post(CHAT, json=likely).json()
    assert all(t["top_logprobs"] == [] for t in answer["choices"][0]["logprobs"]["content"])


def test_half_a_character_is_written_with_escapes():
    """A euro sign in three tokens, the second of which was likely to be another's; then the end."""
    tokenizer = tiny.tokenizer()
    sign, end = tokenizer.encode("€"), tokenizer.eos_id
    prompt = _prompt(ends=(end,))
    writing = Writing(prompt, AnswerText(tokenizer, ()))
    for token in (*sign, end):
        writing.push(Token(token, -0.5, ((sign[1], -0.4), (end, float("-inf")))))
    asked = ChatRequest(**body(logprobs=True, top_logprobs=2))
    (choice,) = completion(asked, [writing], tokenizer).choices
    assert choice.message.content == "€" and choice.finish_reason == "stop"
    assert choice.logprobs is not None
    content = choice.logprobs.content
    assert [token.token for token in content] == ["\\xe2", "\\x82", "\\xac"]
    assert bytes(byte for token in content for byte in token.bytes).decode() == "€"
    first, never = content[0].top_logprobs
    assert (first.token, first.logprob) == ("\\x82", -0.4)
    assert (never.token, never.logprob) == ("</s>", -9999.0)


def _prompt(ends: tuple[int, ...]) -> Prompt:
    import numpy as np

    nothing = np.zeros(0, np.int32)
    return Prompt(
        nothing,
        np.zeros((0, 2), np.int64),
        nothing,
        np.zeros((0, 4), np.float32),
        SamplingParams(logprobs=True),
        10,
        ends,
    )


def test_the_form_of_a_stream(live: Live):
    with live.http() as client:
        asked = body(stream=True, stream_options={"include_usage": True}, n=2)
        with client.stream("POST", CHAT, json=asked) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = [line for line in response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    *pieces, last = chunks
    assert last["choices"] == [] and last["usage"]["completion_tokens"] <= 6
    assert all(chunk["usage"] is None for chunk in pieces)
    for index in (0, 1):
        first, *_, end = [c for chunk in pieces for c in chunk["choices"] if c["index"] == index]
        assert first["delta"] == {"role": "assistant", "content": ""}
        assert end["delta"] == {} and end["finish_reason"] in ("stop", "length")
        assert first["finish_reason"] is None


def test_the_schema_is_published(live: Live):
    with live.http() as client:
        schema = client.get("/openapi.json").json()
    assert CHAT in schema["paths"]
    request = schema["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"messages", "max_completion_tokens", "stream_options"} <= set(request)
    assert "422" not in schema["paths"][CHAT]["post"]["responses"]
