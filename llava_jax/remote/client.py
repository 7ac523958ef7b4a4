"""Prompts in, answers out: what callers see."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Generic

from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.limiter import Limiter
from llava_jax.remote.progress import AskingProgress
from llava_jax.remote.prompt import Prompt
from llava_jax.remote.run import Run, Tag
from llava_jax.remote.store import AnswerStore


def ask(
    questions: Iterable[tuple[Tag, Prompt]],
    endpoint: Endpoint,
    store: AnswerStore,
    budget: Budget,
    *,
    at_once: int = 64,
    total: int | None = None,
) -> Iterator[tuple[Tag, Answer]]:
    """Asks an endpoint, and gives each answer with the tag of its prompt as it comes.

    questions: a prompt and whatever the caller knows it by; taken as places become free, so any
      number of them needs the same memory.
    at_once: the most requests that run together; how many do is found out.
    total: how many questions there are, for the time that is left.

    An answer in the store is not asked for again. A prompt without a usable answer gets one with a
    `problem`, and the run goes on; once the budget is used up, every prompt not in the store does.
    Ctrl-C, or the iterator's close() (contextlib.closing calls it where a caller may stop early),
    ends the run when what was sent is answered and stored; a second Ctrl-C ends it at once.

    Raises, after the answers that were still to come: UserError if no prompt can be answered (key,
    model, disk, a server that is gone), KeyboardInterrupt after Ctrl-C.
    """
    limiter = Limiter(at_once)
    running = _RunningThread[Tag](endpoint, store, budget, limiter)
    progress = AskingProgress(endpoint.model, total, budget, limiter)

    def drain() -> None:
        progress.draining()
        running.stop()

    with progress, _interrupts(drain, running.abandon), running:
        # More than run at once: some wait for another try.
        for tag, answer in running.answers(questions, window=2 * at_once + 32):
            progress.note(answer)
            yield tag, answer


class _RunningThread(Generic[Tag]):
    """A Run in a thread of its own, which goes on while the caller is busy. A context manager."""

    def __init__(self, endpoint: Endpoint, store: AnswerStore, budget: Budget, limiter: Limiter):
        self._outbox: SimpleQueue[tuple[Tag, Answer] | BaseException | None] = SimpleQueue()
        self._run = Run[Tag](endpoint, store, budget, limiter, self._deliver)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Sends nothing more."""
        self._tell(self._run.stop, KeyboardInterrupt())

    def abandon(self) -> None:
        """Waits for nothing more."""
        self._tell(self._run.abandon)

    def answers(
        self, questions: Iterable[tuple[Tag, Prompt]], window: int
    ) -> Iterator[tuple[Tag, Answer]]:
        """Hands questions over, at most `window` without an answer. Raises what ended the run."""
        waiting = 0
        for question in questions:
            self._tell(self._run.submit, *question)
            waiting += 1
            while waiting >= window or not self._outbox.empty():
                if answered := self._next():
                    yield answered
                    waiting -= 1
        self._tell(self._run.close)
        yield from iter(self._next, None)

    def _deliver(self, tag: Tag, answer: Answer) -> None:
        self._outbox.put((tag, answer))

    def _next(self) -> tuple[Tag, Answer] | None:
        """None at the end."""
        item = self._outbox.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                end = runner.run(self._run.serve())
        except BaseException as error:
            end = error
        self._outbox.put(end)

    def _tell(self, what: Callable[..., None], *about: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: the run has ended
            self._loop.call_soon_threadsafe(what, *about)


@contextmanager
def _interrupts(drain: Callable[[], None], abandon: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C inside drains, the second abandons and raises KeyboardInterrupt."""

    def second(*_: object) -> None:
        abandon()
        raise KeyboardInterrupt

    def first(*_: object) -> None:
        signal.signal(signal.SIGINT, second)
        drain()

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    before = signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
