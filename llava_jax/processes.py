"""The processes of a run: how they find each other, wait for each other, and stop together."""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, TracebackType
from typing import Any, NoReturn

import jax
from jax.experimental import multihost_utils

from llava_jax.errors import INTERRUPTED, LOST_CONTACT, USER_ERROR, SetAside, Stopped, UserError
from llava_jax.lifeline import Lifeline

AUTO = "auto"
_PATIENCE = 120  # seconds that processes wait for each other at the start
_leaving = threading.Lock()


@contextmanager
def joined(coordinator: str, count: int, index: int) -> Iterator[None]:
    """A run of this process and the others; must come before jax looks for devices.

    While it lasts, the loss of another process ends this one with a sentence and exit code 75.
    That, and every error of its own, ends it without clean-up: whatever remains to be done, saving
    included, would wait for the others, and they are lost or about to leave.

    Args:
      coordinator: host:port of process 0; "auto": a TPU slice or a cluster tells; "": alone.
      count: processes of the run. index: of this one among them. Only with host:port.
    Raises:
      UserError: numbers that do not go together. Where the others do not come the process ends
        with a sentence of the same kind.
    """
    _join(coordinator, count, index)
    if jax.process_count() == 1:
        yield
        return
    lost = (
        f"error: process {jax.process_index()} lost contact with another process of the run: start "
        "all of them again with the same command; they go on from the newest checkpoint"
    )
    host = "" if coordinator == AUTO else coordinator.rpartition(":")[0]
    lifeline = Lifeline(host, partial(_leave, lost, LOST_CONTACT))
    try:
        with lifeline:
            yield
    except (Stopped, SetAside):  # of which the others know, or need not
        raise
    except KeyboardInterrupt:
        _leave("", INTERRUPTED)
    except BaseException as error:
        if lifeline.lost_another:
            _leave(lost, LOST_CONTACT)
        if isinstance(error, UserError):
            _leave(f"error: {error}", USER_ERROR)
        _leave(traceback.format_exc(), 1)


def _join(coordinator: str, count: int, index: int) -> None:
    if not coordinator and (count or index):
        raise UserError("--processes and --process need --coordinator=HOST:PORT beside them")
    if coordinator in ("", AUTO):
        if coordinator:
            _initialize("the other hosts")
        return
    if not 0 <= index < count:
        raise UserError(
            f"--process={index} of --processes={count}: number the processes from 0, and give "
            "each its own --process and the same --processes and --coordinator"
        )
    _initialize(
        f"the {count} processes of {coordinator}",
        coordinator_address=coordinator,
        num_processes=count,
        process_id=index,
    )


def _initialize(whom: str, **options: Any) -> None:
    advice = "is every process running, each with its own --process and the same --processes?"
    # When others do not come JAX aborts the process, with a page of addresses: be before it.
    alarm = threading.Timer(
        _PATIENCE,
        _leave,
        [f"error: waited {_PATIENCE} seconds in vain for {whom}: {advice}", USER_ERROR],
    )
    alarm.daemon = True
    alarm.start()
    try:
        jax.distributed.initialize(initialization_timeout=2 * _PATIENCE, **options)
    except (RuntimeError, ValueError) as error:
        raise UserError(f"could not join {whom} ({error}): {advice}") from error
    finally:
        alarm.cancel()


def _leave(message: str, code: int) -> NoReturn:
    """Ends this process at once with a sentence, where nothing can be waited for any more."""
    _leaving.acquire()  # and never released: of two reasons one is said
    try:
        print(message, file=sys.stderr, flush=True)
    finally:  # though nobody may be there to read it
        os._exit(code)


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return jax.process_index() == 0


@contextmanager
def first_alone(what: str) -> Iterator[None]:
    """Process 0 goes through the block before the others: they find what it has left."""
    if not is_first():
        multihost_utils.sync_global_devices(what)
    yield
    if is_first() and jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


class StopSignal:
    """SIGTERM, the warning before a machine is taken away: finish the step, save, and leave.

    Several processes agree on the step they stop after, whichever of them is told.
    """

    def __init__(self) -> None:
        self._received = False

    def __enter__(self) -> "StopSignal":
        # Where there are several, JAX's own service listens and tells the others.
        if jax.process_count() == 1:
            self._previous = signal.signal(signal.SIGTERM, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self._received = True

    def stops_after(self, step: int) -> bool:
        """Whether the run ends after this step; every process asks after every step."""
        if jax.process_count() == 1:
            return self._received
        return multihost_utils.reached_preemption_sync_point(step)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if jax.process_count() == 1:
            signal.signal(signal.SIGTERM, self._previous)
