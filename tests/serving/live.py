"""The tiny model behind a real server, in a thread of this process."""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
from PIL import Image

from llava_jax.inference.engine import Engine
from llava_jax.inference.scheduler import Scheduler, Shapes
from llava_jax.serving.api import create_app
from llava_jax.serving.media import Media
from llava_jax.serving.server import Server, bind, url_of
from llava_jax.serving.service import Service
from llava_jax.serving.votes import Votes
from tests.inference import tiny

MODEL = "tiny"
SHAPES = Shapes(slots=2, piece=32, shortest=16)


@dataclass
class Live:
    """A server and what is behind it."""

    url: str
    engine: Engine
    scheduler: Scheduler
    service: Service
    server: Server

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(**self._options(options))

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options(options))

    def http(self, **options: Any) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=200, **options)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        fixed = {"base_url": f"{self.url}/v1", "max_retries": 0, "timeout": 60}
        return {"api_key": "none"} | fixed | options


@contextmanager
def served(
    *,
    engine: Engine | None = None,
    media: Media | None = None,
    places: int = 100,
    api_key: str = "",
    votes: Path | None = None,
) -> Iterator[Live]:
    engine = engine or tiny.engine()
    scheduler = Scheduler(engine.config, engine.compute, engine._params, SHAPES)
    service = Service(engine, scheduler, media or Media(), MODEL, places)
    bound, ready = bind("127.0.0.1", 0), threading.Event()
    app = create_app(service, api_key)
    if votes is not None:
        from llava_jax.serving import web  # takes its time, and is not always there

        web.mount(app, service, Votes(votes))
    server = Server(app, service, ready.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
    url = url_of(bound)
    thread.start()
    assert ready.wait(30)
    try:
        yield Live(url, engine, scheduler, service, server)
    finally:
        server.should_exit = True
        thread.join(30)
        service.close()
        assert not thread.is_alive()


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def data_uri(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def picture(seed: int) -> dict[str, Any]:
    """A part of a message."""
    return image_part(data_uri(encoded(tiny.picture(seed))))


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def user(*parts: str | dict[str, Any]) -> dict[str, Any]:
    if len(parts) == 1 and isinstance(parts[0], str):
        return {"role": "user", "content": parts[0]}
    return {"role": "user", "content": [text(p) if isinstance(p, str) else p for p in parts]}


def body(*messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A short request that is answered; options replace what is in it."""
    asked = {"model": MODEL, "messages": list(messages) or [user("Hi")], "max_tokens": 3}
    return asked | options
