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

from llava_jax.errors import SetAside, Stopped

_TOKEN = 16  # bytes by which a connection is known for one of this run
_WELCOME, _FAREWELL, _OWN_ERROR = b"+", b"-", b"!"
_PATIENCE = 10.0  # seconds in which all connections come about
_TOKEN_PATIENCE = 1.0  # and a new one says its token: strangers may be silent
# Seconds that a process with an error stays before it hangs up: so that one which all of them make
# is said by each, and one that comes of another's death is not taken for its own.
_GRACE = 2.0
# Seconds until a machine that is silent is asked, between questions, and how many go unanswered.
_IDLE, _INTERVAL, _QUESTIONS = 10, 5, 3
_SILENCE = _IDLE + _INTERVAL * (_QUESTIONS + 1)  # until it is given up


class Lifeline:
    """While open, calls `lost` in a thread of its own once any process of the run is gone.

    All processes connect to process 0, which tells the others by being gone itself. Where a
    connection does not come about (a firewall), that process says so and goes without. All open
    it together, and those without an error leave it together: it closes once all have come so far.

    host: by which the others reach process 0; "": what it finds to be its address.
    lost_another: whether that is why an error has ended the block.
    """

    def __init__(self, host: str, lost: Callable[[], None]) -> None:
        self.lost_another = False
        self._host, self._lost = host, lost
        self._broken, self._ending = threading.Event(), threading.Event()
        self._dead = threading.Event()  # broken, and nobody said why
        self._connections: list[socket.socket] = []
        self._listeners: list[threading.Thread] = []

    def __enter__(self) -> "Lifeline":
        if jax.process_index() == 0:
            others = jax.process_count() - 1
            with socket.create_server(("", 0), backlog=others) as server:
                token = secrets.token_bytes(_TOKEN)
                host, port = self._host or _own_address(), server.getsockname()[1]
                _told(token + f"{host}:{port}".encode())
                self._accept(server, token, others)
        else:
            told = _told(b"")
            self._connect(told[:_TOKEN], told[_TOKEN:].decode())
        return self

    def _accept(self, server: socket.socket, token: bytes, others: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while len(self._connections) < others and time.monotonic() < deadline:
            server.settimeout(max(deadline - time.monotonic(), 0.01))
            with suppress(OSError):  # that process says so itself
                connection, _ = server.accept()
                if _knows(connection, token):
                    self._keep(connection)
                else:
                    connection.close()

    def _connect(self, token: bytes, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            connection = socket.create_connection((host, int(port)), timeout=_PATIENCE)
            # Longer than process 0 accepts: who is welcome must still be there.
            connection.settimeout(3 * _PATIENCE)
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
        self._listeners.append(
            threading.Thread(target=self._listen, args=[connection], daemon=True)
        )
        self._listeners[-1].start()

    def _listen(self, connection: socket.socket) -> None:
        farewell = b""
        with suppress(OSError):
            farewell = connection.recv(len(_FAREWELL))
        if farewell == _FAREWELL:
            return
        if not farewell:
            self._dead.set()
        self._broken.set()
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
        if error is None or isinstance(error, Stopped | SetAside):
            self._part()
            return
        self._ending.set()
        if isinstance(error, jax.errors.JaxRuntimeError):
            self.lost_another = self._broken.wait(_SILENCE)
        else:  # that may be of another's death, too: by whatever type a library raises then
            self.lost_another = self._dead.wait(_GRACE)
        self._hang_up(b"" if self.lost_another else _OWN_ERROR)

    def _part(self) -> None:
        """Waits for the others, who may need this process so long; JAX would for minutes only."""
        if jax.process_index() == 0:
            self._hear_farewells()
        for connection in self._connections:
            with suppress(OSError):  # it is gone: its listener tells
                connection.sendall(_FAREWELL)
        self._hear_farewells()
        self._ending.set()
        for connection in self._connections:
            connection.close()

    def _hear_farewells(self) -> None:
        for listener in self._listeners:
            listener.join()

    def _hang_up(self, word: bytes = b"") -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.sendall(word)
                connection.shutdown(socket.SHUT_RDWR)
        if jax.process_index() == 0:
            # JAX aborts all who are there when the first process, its coordinator, ends.
            time.sleep(_GRACE)


def _knows(connection: socket.socket, token: bytes) -> bool:
    """Whether it is one of this run's processes, which is then welcomed."""
    connection.settimeout(_TOKEN_PATIENCE)
    try:
        known = secrets.compare_digest(connection.recv(_TOKEN), token)
        if known:
            connection.sendall(_WELCOME)
    except OSError:
        return False
    return known


def _told(message: bytes) -> bytes:
    """What process 0 says to all."""
    said = np.zeros(_TOKEN + 300, np.uint8)  # a host's name has at most 253 characters
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
