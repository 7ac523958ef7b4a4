"""What the clients of benchmarks/load.py send: requests of every kind, and how they go out."""

import asyncio
import base64
import io
import json
import os
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import httpx2
import numpy as np
from PIL import Image

from llava_jax.serving.conversation import MOST_IMAGES
from llava_jax.serving.gate import BODY_SECONDS, CHAT, LARGEST_BODY
from llava_jax.serving.media import LONGEST_SIDE

Sent = bytes | AsyncIterator[bytes]
_NEW_TOKENS = 16
_DROPS, _DROPS_SECONDS = 25, 7.0  # of a body that comes slowly
_LINES_OF_ONE_WHO_LEAVES = 8
_HANDS_OVER = 2**16  # bytes at a time of a body whose length nobody tells
_QUESTIONS = ("What is this?", "Where is the cat?", "Name some colours.", "Is it left of the dog?")
_NEVER_SEEN = "neverseenyet"  # base64; stands for bytes behind an image that nobody looks at


class Gone(Exception):
    """The client's own: it leaves in the middle of what it sends."""


class Kind(NamedTuple):
    """Requests of one kind.

    share: how many are sent, compared with other kinds. bodies: of them, one is drawn.
    status: what they get. send: how a body goes out. pause: seconds between the lines of a stream
    that are read. leaves: whether the client does, in mid-answer or mid-body. path: where they go.
    """

    name: str
    share: float
    bodies: list[bytes]
    status: int = 200
    send: Callable[[bytes], Sent] = bytes
    pause: float = 0.0
    leaves: bool = False
    path: str = CHAT


def make_kinds(model: str, long: int) -> list[Kind]:
    """All kinds. long: characters of a long prompt that the model still reads."""
    return [*_valid(model, long), *_leaving(model), *_wrong(model)]


def _valid(model: str, long: int) -> list[Kind]:
    def bodies(*contents: Any, **options: Any) -> list[bytes]:
        return [_body(model, content, **options) for content in contents]

    texts, shown = list(_QUESTIONS), [[_picture(n), _text(q)] for n, q in enumerate(_QUESTIONS)]
    new = [[_picture(n, _NEVER_SEEN), _text(q)] for n, q in enumerate(_QUESTIONS[:2])]
    start = ("The cat is left of the dog. " * long)[:long]
    drawn = {"temperature": 1.0, "top_p": 0.95}
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    scores = {"logprobs": True, "top_logprobs": 5}
    return [
        Kind("text", 12, bodies(*texts)),
        Kind("image", 12, bodies(*shown)),
        Kind("image, new bytes", 8, bodies(*new), send=_never_seen),
        Kind("long text, same beginning", 4, bodies(*(f"{start} {q}" for q in texts))),
        Kind("stream", 10, bodies(*texts, *shown, **streamed)),
        Kind("three choices", 4, bodies(texts[0], shown[1], n=3, seed=5, **drawn)),
        Kind("seed", 8, bodies(texts[2], shown[0], seed=2**40, **drawn)),
        Kind("logprobs", 4, bodies(texts[1], shown[2], **scores)),
        Kind("body in drops", 3, bodies(texts[1]), send=_in_drops),
        Kind("read slowly", 3, bodies(texts[0], shown[3], **streamed), pause=0.2),
    ]


def _leaving(model: str) -> list[Kind]:
    endless = {"stream": True, "max_tokens": 200, "temperature": 1.5, "n": 2}
    picture = [_picture(0), _text("Tell me all.")]
    return [
        Kind("leaves in its answer", 5, [_body(model, picture, **endless)], leaves=True),
        Kind("leaves in its body", 4, [_body(model, picture)], send=_cut, leaves=True),
    ]


def _wrong(model: str) -> list[Kind]:
    right, small = json.loads(_body(model, "Hi")), _picture(0)
    bomb = _image_part(promised_png(LONGEST_SIDE, LONGEST_SIDE))
    together = [_image_part(promised_png(7000, 7000))] * 3
    types = [{"n": "1"}, {"max_tokens": 1.5}, {"messages": 3}, {"temperature": True}]
    many, much = [small] * (MOST_IMAGES + 1), "word " * 200_000
    oversized = [b" " * (LARGEST_BODY + 1)]
    return [
        Kind("malformed JSON", 4, [b"{", b'{"model":', b"\xff\xfe", b"[" * 10_000], 400),
        Kind("wrong types", 4, [json.dumps(right | wrong).encode() for wrong in types], 400),
        Kind("unknown model", 3, [_body("other", "Hi")], 404),
        Kind("unknown path", 2, [b"{}"], 404, path="/v1/nothing"),
        Kind("body too large", 1, oversized, 413),
        Kind("body too large, length untold", 1, oversized, 413, send=_in_pieces),
        Kind("body that stops", 0.5, [_body(model, "Hi")], 408, send=_stalled),
        Kind("image of too many pixels", 3, [_body(model, [bomb])], 400),
        Kind("images of too many pixels", 2, [_body(model, together)], 400),
        Kind("damaged image", 2, [_body(model, [_image_part(b"\x89PNG\r\n\x1a\nno")])], 400),
        Kind("too many images", 2, [_body(model, many)], 400),
        Kind("prompt too long", 2, [_body(model, much), _body(model, much[:100_000])], 400),
    ]


def _body(model: str, content: str | list[dict[str, Any]], **options: Any) -> bytes:
    fixed = {"model": model, "temperature": 0, "max_tokens": _NEW_TOKENS}
    asked = {"messages": [{"role": "user", "content": content}]}
    return json.dumps(fixed | asked | options).encode()


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _picture(seed: int, behind: str = "") -> dict[str, Any]:
    """A small picture; behind: base64 of bytes after its end."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = file.getvalue()
    return _image_part(data + bytes(-len(data) % 3), behind)


def _image_part(data: bytes, behind: str = "") -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}{behind}"
    return {"type": "image_url", "image_url": {"url": url}}


def promised_png(width: int, height: int) -> bytes:
    """A few bytes that say to be so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def _never_seen(body: bytes) -> bytes:
    """The same pixels in a file that no cache knows."""
    return body.replace(_NEVER_SEEN.encode(), base64.b64encode(os.urandom(9)))


async def _in_drops(body: bytes) -> AsyncIterator[bytes]:
    begun, size = time.monotonic(), 1 + len(body) // _DROPS
    for number, start in enumerate(range(0, len(body), size)):
        # By the clock: a busy machine's client is not slower than it means to be.
        await asyncio.sleep(begun + number * _DROPS_SECONDS / _DROPS - time.monotonic())
        yield body[start : start + size]


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), _HANDS_OVER):
        yield body[start : start + _HANDS_OVER]


async def _stalled(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    await asyncio.sleep(BODY_SECONDS + 2)
    yield body[len(body) // 2 :]


async def _cut(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    await asyncio.sleep(0.05)
    raise Gone


async def answer_of(response: httpx2.Response, kind: Kind) -> tuple[Any, ...]:
    """What has to be the same each time, by choice: text, why it ended, its tokens' texts.

    Raises:
      Gone: in the middle of a stream, where the kind of client leaves.
      ValueError, KeyError: no answer of the API, or a stream that breaks off.
    """
    choices: dict[int, list[Any]] = {}
    async for data in _pieces(response, kind):
        for choice in data["choices"]:
            so_far = choices.setdefault(choice["index"], ["", None, []])
            so_far[0] += choice.get("delta", choice.get("message")).get("content") or ""
            so_far[1] = so_far[1] or choice["finish_reason"]
            scores = choice["logprobs"] or {"content": []}
            so_far[2] += [token["token"] for token in scores["content"]]
    return tuple(tuple(map(str, choices[index])) for index in sorted(choices))


async def _pieces(response: httpx2.Response, kind: Kind) -> AsyncIterator[dict[str, Any]]:
    """The JSON of a whole answer, or of each event of a stream."""
    if response.headers["content-type"] == "application/json":
        yield json.loads(await response.aread())
        return
    count, last = 0, ""
    async for line in response.aiter_lines():
        if not line:
            continue
        count, last = count + 1, line.removeprefix("data: ")
        if kind.leaves and count > _LINES_OF_ONE_WHO_LEAVES:
            raise Gone
        if last != "[DONE]":
            yield json.loads(last)
        await asyncio.sleep(kind.pause)
    if last != "[DONE]":
        raise ValueError("the stream broke off")
