"""Connections between the processes of a run, kept for one thing: that their end tells of a death.

A collective that one process does not come to may fail at the others, wait for minutes, or have
the runtime end them with a page of addresses; but a process that dies is hung up on at once.
"""

import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import jax
import numpy as np
from jax.experimental import multihost_utils

from llava_jax.errors import Stopped

_TOKEN = 16  # bytes by which a connection is known for one of this run
_WELCOME, _FAREWELL = b"+", b"-"
_PATIENCE = 10.0  # seconds for a connection to come about
# Seconds that a process with an error of its own stays before it hangs up, so that an error which
# all of them make is said by each of them.
_GRACE = 2.0
# Seconds until a machine that is silent is asked, between questions, and how many go unanswered.
_IDLE, _INTERVAL, _QUESTIONS = 10, 5, 3
_SILENCE = _IDLE + _INTERVAL * (_QUESTIONS + 1)  # until it is given up


class Lifeline:
    """While open, calls `lost` in a thread of its own once any process of the run is gone.

    All processes connect to process 0, which tells the others by being gone itself. Where a
    connection does not come about (a firewall), that process says so and goes without. To be
    opened by all processes together; they may close it at different times, unless by an error.

    broken: set once a process is gone.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        self.broken = threading.Event()
        self._lost = lost
        self._ending = threading.Event()
        self._connections: list[socket.socket] = []

    def __enter__(self) -> "Lifeline":
        if jax.process_index() == 0:
            others = jax.process_count() - 1
            with socket.create_server(("", 0), backlog=others) as server:
                token = secrets.token_bytes(_TOKEN)
                _told(token + f"{_own_address()}:{server.getsockname()[1]}".encode())
                self._accept(server, token, others)
        else:
            told = _told(b"")
            self._connect(told[:_TOKEN], told[_TOKEN:].decode())
        return self

    def _accept(self, server: socket.socket, token: bytes, others: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while len(self._connections) < others and time.monotonic() < deadline:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = server.accept()
                connection.settimeout(_PATIENCE)
                if secrets.compare_digest(connection.recv(_TOKEN), token):
                    connection.sendall(_WELCOME)
                    self._keep(connection)
                else:
                    connection.close()
            except OSError:
                continue  # that process says so itself

    def _connect(self, token: bytes, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            connection = socket.create_connection((host, int(port)), timeout=_PATIENCE)
            connection.sendall(token)
            if connection.recv(len(_WELCOME)) != _WELCOME:
                raise OSError("it hung up")
        except OSError as error:
            print(
                f"process {jax.process_index()} cannot reach process 0 at {address} ({error}): the "
                "run goes on, but if one of them is lost the others may wait for minutes",
                file=sys.stderr,
            )
        else:
            self._keep(connection)

    def _keep(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if sys.platform == "linux":  # else the system's own patience holds
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _INTERVAL)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _QUESTIONS)
        self._connections.append(connection)
        threading.Thread(target=self._listen, args=[connection], daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        try:
            farewell = connection.recv(len(_FAREWELL))
        except OSError:
            farewell = b""
        if farewell:
            return
        self.broken.set()
        if not self._ending.is_set():
            self._ending.set()
            self._hang_up()
            self._lost()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        if error is None or isinstance(error, Stopped):
            for connection in self._connections:
                with suppress(OSError):  # the other side was first
                    connection.sendall(_FAREWELL)
            return
        if isinstance(error, jax.errors.JaxRuntimeError):
            self.broken.wait(_SILENCE)  # that another one is lost may be why, or not
        else:
            time.sleep(_GRACE)
        self._hang_up()

    def _hang_up(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if jax.process_index() == 0:
            # JAX aborts all who are there when the first process, its coordinator, ends.
            time.sleep(_GRACE)


def _told(message: bytes) -> bytes:
    """What process 0 says to all."""
    said = np.zeros(_TOKEN + 64, np.uint8)
    said[: len(message)] = np.frombuffer(message, np.uint8)
    return multihost_utils.broadcast_one_to_all(said).tobytes().rstrip(b"\0")


def _own_address() -> str:
    """By which others reach this machine; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address of documentation, behind any gateway
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
