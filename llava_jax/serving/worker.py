"""The one thread that steps a scheduler, and how an event loop waits for what it writes."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue

from llava_jax.inference.answers import Writing
from llava_jax.inference.scheduler import Scheduler
from llava_jax.serving.errors import busy, failed

Notify = Callable[[Writing | None], None]


class Worker:
    """Owns a scheduler. Its methods are for the event loop's thread alone.

    places: requests that may be served or wait at a time.
    failed: whether the thread has died of an error; then nothing is answered any more.
    """

    def __init__(self, scheduler: Scheduler, places: int):
        self.scheduler, self.failed = scheduler, False
        self._places, self._taken = places, 0
        self._orders: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._followers: set[Notify] = set()
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def check_room(self) -> None:
        """Raises ApiError where one request more would be refused: 429, or 500 after an error."""
        if self.failed:
            raise failed()
        if self._taken >= self._places:
            raise busy()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A request's place among those that are served or wait; errors as `check_room`."""
        self.check_room()
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    @contextmanager
    def write(self, begin: Callable[[Notify], Sequence[Writing]]) -> Iterator["Answers"]:
        """Has answers written; who leaves before they are done ends them.

        begin: gives the answers, each of which is to tell its changes as it is told.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def notify(_: Writing | None) -> None:
            loop.call_soon_threadsafe(changed.set)

        writings = begin(notify)
        self._followers.add(notify)  # before `failed` is looked at: no end is missed
        for writing in writings:
            self._orders.put(partial(self.scheduler.submit, writing))
        try:
            yield Answers(self, writings, changed)
        finally:
            self._followers.discard(notify)
            for writing in writings:
                self._orders.put(writing.cancel)  # there, where nothing is being added to it

    def close(self) -> None:
        """Ends the thread; nothing may be waited for."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = False
        try:
            while True:
                while not going or not self._orders.empty():
                    order = self._orders.get()  # sleeps while there is nothing to do
                    if order is None:
                        return
                    order()
                    going = True
                going = self.scheduler.step()
        except BaseException:
            self.failed = True
            for notify in list(self._followers):
                notify(None)
            raise


class Answers:
    """Answers to one request, on their way."""

    def __init__(self, worker: Worker, writings: Sequence[Writing], changed: asyncio.Event):
        self.writings = writings
        self._worker, self._changed = worker, changed

    @property
    def done(self) -> bool:
        return all(writing.done for writing in self.writings)

    async def change(self) -> None:
        """Waits until there is something new.

        Raises:
          ApiError: there will not be: the worker has failed.
        """
        if not self._worker.failed:
            await self._changed.wait()
            self._changed.clear()
        if self._worker.failed:
            raise failed()
