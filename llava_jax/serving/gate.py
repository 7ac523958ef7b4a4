"""What stands before the routes: who may enter, how much is read, and what ends a client's work."""

import asyncio
import base64
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_jax.serving.errors import ApiError, busy
from llava_jax.serving.service import Service

API = "/v1/"
CHAT = "/v1/chat/completions"
HEALTH = "/health"
PAGE = "/chat"
LARGEST_BODY = 20 * 2**20  # bytes
MOST_BODIES = 16 * LARGEST_BODY  # bytes of all requests that arrive or are being answered
BODY_SECONDS = 30.0  # for a request's whole body to arrive
SEND_SECONDS = 60.0  # for a client to take a piece of its answer
_LINGER_SECONDS = 5.0  # for what is still being sent to one who is refused


class Gate:
    """ASGI middleware: asks for the key everywhere but at /health, and guards the API.

    Of the API's requests it reads the bodies, up to a limit of bytes and seconds, and counts them;
    what is being done for a client that leaves is cancelled.
    """

    def __init__(self, app: ASGIApp, service: Service, api_key: str):
        """api_key: "" for none."""
        self._app, self._service, self._key = app, service, api_key.encode()
        self._held = 0  # bytes of bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == HEALTH:
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send)
        try:
            self._check_key(scope)
            if scope["path"].startswith(API):
                with self._service.inside():
                    await self._guarded(scope, exchange)
            else:
                await self._app(scope, receive, send)
        except ApiError as error:
            await exchange.refuse(scope, error)
        if exchange.status and scope["path"].startswith(API):
            self._service.metrics.requests.labels(exchange.status).inc()

    def _check_key(self, scope: Scope) -> None:
        """A browser asks its user for the page's key, as the password to any name."""
        of_page = scope["path"].startswith(PAGE)
        given = Headers(scope=scope).get("authorization", "")
        key = _password(given) if of_page else given.encode("latin-1").removeprefix(b"Bearer ")
        if self._key and not secrets.compare_digest(key, self._key):
            scheme = 'Basic realm="Any name, and the API key as the password"'
            raise ApiError(
                401,
                "Incorrect API key provided: send the header 'Authorization: Bearer KEY'.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": scheme if of_page else "Bearer"},
            )

    async def _guarded(self, scope: Scope, exchange: "_Exchange") -> None:
        if scope["path"] == CHAT:
            self._service.worker.check_room()  # before a body is read that nobody has time for
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            if self._held + count > MOST_BODIES:
                raise busy()
            held += count
            self._held += count

        try:
            body = await exchange.body(Headers(scope=scope).get("content-length", ""), hold)
            if body is not None:
                await exchange.while_connected(self._app(scope, _of_body(body), exchange.send))
        finally:
            self._held -= held


class _Exchange:
    """A request and its response. status: of the response, once it has begun."""

    def __init__(self, receive: Receive, send: Send):
        self._receive, self._send = receive, send
        self._more = True  # of the body is to come
        self._gone = False
        self._watch: asyncio.Task | None = None
        self.status = 0

    async def body(self, length: str, hold: Callable[[int], None]) -> bytes | None:
        """The whole body; None for a client that left.

        length: as its header says. hold: told of the bytes that each piece adds.

        Raises:
          ApiError: 413 or 408, and what `hold` raises.
        """
        too_large = ApiError(413, f"The body of a request may have {LARGEST_BODY} bytes.")
        if length.isdecimal() and int(length) > LARGEST_BODY:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while self._more:
                    piece = await self._next()
                    hold(len(piece))
                    body += piece
                    if len(body) > LARGEST_BODY:
                        raise too_large
        except TimeoutError:
            raise ApiError(408, "The body of the request did not arrive in time.") from None
        return None if self._gone else bytes(body)

    async def while_connected(self, work: Awaitable[None]) -> None:
        """Does the work, or as much of it as until the client leaves."""
        task = asyncio.current_task()
        assert task is not None

        async def watch() -> None:
            while not self._gone:
                await self._next()
            task.cancel()

        self._watch = asyncio.create_task(watch())
        try:
            await work
        except asyncio.CancelledError:
            if not self._gone:
                raise
            task.uncancel()
        finally:
            self._watch.cancel()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self._watch and not message.get("more_body", False):
            self._watch.cancel()  # who has everything may go
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._gone = True
            raise asyncio.CancelledError from None

    async def refuse(self, scope: Scope, error: ApiError) -> None:
        """Answers, and takes what is still being sent off the line before closing it: a client
        whose writing fails would not read why."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await self.send({**message, "more_body": True})
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LINGER_SECONDS):
                        while self._more:
                            await self._next()
                message = {"type": "http.response.body", "body": b""}
            await self.send(message)

        await error.response()(scope, self._receive, send)

    async def _next(self) -> bytes:
        """The next piece of the body."""
        message = await self._receive()
        self._gone = self._gone or message["type"] == "http.disconnect"
        self._more = not self._gone and message.get("more_body", False)
        return message.get("body", b"")


def _password(header: str) -> bytes:
    """Of HTTP's Basic scheme; b"" where there is none."""
    try:
        return base64.b64decode(header.removeprefix("Basic ")).partition(b":")[2]
    except ValueError:
        return b""


def _of_body(body: bytes) -> Receive:
    """Gives a body that has been read, and nothing after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    return receive
