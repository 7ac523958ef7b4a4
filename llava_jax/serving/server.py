"""The process around the application: its socket, its signals, its end."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from llava_jax.errors import UserError
from llava_jax.serving.service import Service

_LARGEST_HEAD = 2**16  # bytes of a request's line and headers
_IDLE_SECONDS = 30  # more than clients keep an idle line (5): none is closed as it is used again
_STRAGGLERS_SECONDS = 5  # for open pages, which never hang up, once all have their answers


def bind(host: str, port: int) -> socket.socket:
    """A socket at an address; nobody can connect before it is served. port: 0 for any free one.

    Raises:
      UserError: the address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise UserError(f"cannot serve at {host}:{port} ({error}): choose another --port") from None
    return bound


def url_of(bound: socket.socket) -> str:
    """The address that clients are given."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """Serves until SIGTERM or Ctrl-C; then takes nothing new, finishes what it has accepted, and
    returns. A second signal ends it at once."""

    def __init__(self, app: FastAPI, service: Service, ready: Callable[[], None]):
        """ready: called once clients can connect."""
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            timeout_keep_alive=_IDLE_SECONDS,
            timeout_graceful_shutdown=_STRAGGLERS_SECONDS,
            log_level="warning",
            access_log=False,
            server_header=False,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        super().__init__(config)
        self._service, self._ready = service, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = self.force_exit = self._service.stopping
        self._service.stopping = True

    async def on_tick(self, counter: int) -> bool:
        # Those who come until all have their answers are told to go elsewhere.
        self.should_exit |= self._service.stopping and not self._service.busy
        return await super().on_tick(counter)


def serve(app: FastAPI, service: Service, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Serves an application until it is told to stop."""
    asyncio.run(Server(app, service, ready).serve([bound]))
