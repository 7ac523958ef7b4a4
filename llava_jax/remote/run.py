"""A run of prompts in an event loop: which is sent when, and what becomes of its answer."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from llava_jax.errors import UserError
from llava_jax.remote.answer import Answer
from llava_jax.remote.budget import Budget
from llava_jax.remote.connection import Connection
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.errors import Failure
from llava_jax.remote.limiter import Limiter
from llava_jax.remote.prompt import Prompt
from llava_jax.remote.store import AnswerStore

Tag = TypeVar("Tag")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds; a pause doubles with each try
_IN_VAIN = 100  # prompts given up in a row: the endpoint is gone


class Run(Generic[Tag]):
    """Answers prompts until it is closed or stopped. All of it happens in one event loop.

    deliver: called with the tag and the answer of each prompt; an answer is in the store by then.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        store: AnswerStore,
        budget: Budget,
        limiter: Limiter,
        deliver: Callable[[Tag, Answer], None],
    ):
        self._endpoint, self._store, self._budget = endpoint, store, budget
        self._limiter, self._deliver = limiter, deliver
        self._connection = Connection(endpoint)
        self._tags: dict[str, list[Tag]] = {}  # by the key of what is being asked
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()  # those of them that have nothing sent
        self._unwritten: asyncio.Queue[tuple[Answer, asyncio.Future[None]]] = asyncio.Queue()
        self._settled = asyncio.Event()
        self._ending = asyncio.Event()
        self._stopped: BaseException | None = None
        self._in_vain = 0

    async def serve(self) -> BaseException | None:
        """Runs to the end; returns why it was stopped."""
        writer = asyncio.create_task(self._write())
        await self._ending.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)
        writer.cancel()
        await self._connection.close()
        return self._stopped

    def submit(self, tag: Tag, prompt: Prompt) -> None:
        """Takes a prompt; one that is being asked already is not asked twice."""
        key = prompt.key(self._endpoint.model)
        if key in self._tags:
            self._tags[key].append(tag)
        elif not self._stopped:
            self._tags[key] = [tag]
            task = asyncio.create_task(self._answer(key, prompt))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """No more prompts come."""
        self._ending.set()

    def stop(self, why: BaseException) -> None:
        """Sends nothing more; what was sent is still answered, stored and delivered."""
        self._stopped = self._stopped or why
        self._ending.set()
        for task in self._waiting:
            task.cancel()

    def abandon(self) -> None:
        """Waits for nothing more."""
        for task in self._tasks:
            task.cancel()

    async def _answer(self, key: str, prompt: Prompt) -> None:
        try:
            answer = await self._stored_or_sent(key, prompt)
            if answer.cut_off:
                longer = prompt.longer()
                second = await self._stored_or_sent(longer.key(self._endpoint.model), longer)
                answer = answer.then(second)
        except Exception as error:  # of the user or of ours: either way the run ends
            self.stop(error)
        else:
            for tag in self._tags.pop(key):
                self._deliver(tag, answer)

    async def _stored_or_sent(self, key: str, prompt: Prompt) -> Answer:
        if kept := self._store.get(key):
            return kept
        try:
            answer = await self._sent(prompt)
        except Failure as failure:
            self._give_up(failure)
            return Answer(key, problem=str(failure))
        self._in_vain = 0
        return answer

    async def _sent(self, prompt: Prompt) -> Answer:
        """Sends a prompt until it is answered. Raises the last Failure if it is not."""
        failures: Counter[str] = Counter()
        while True:
            try:
                return await self._attempt(prompt)
            except Failure as failure:
                failures[failure.kind] += 1
                if failures[failure.kind] >= failure.tries:
                    raise
                # Full jitter: what failed together is not sent again together.
                pause = min(_FIRST_PAUSE * 2 ** (failures.total() - 1), _LONGEST_PAUSE)
                with self._breakable():
                    await asyncio.sleep(failure.wait + random.uniform(0, pause))

    async def _attempt(self, prompt: Prompt) -> Answer:
        with self._breakable():
            await self._limiter.acquire()
        try:
            most = self._connection.most_usd(prompt)
            await self._reserve(most)
            spent = 0.0
            try:
                answer = await self._connection.send(prompt)
                spent = answer.usd
            except Failure as failure:
                spent = most if failure.charged else 0.0
                if failure.crowded:
                    self._limiter.refused(failure.wait)
                raise
            finally:
                self._budget.settle(most, spent)
                self._settled.set()
            self._limiter.answered()
        finally:
            self._limiter.release()
        await self._written(answer)
        return answer

    async def _reserve(self, usd: float) -> None:
        """Waits until the money is there. Raises Failure if it never will be."""
        while not self._budget.reserve(usd):
            if self._budget.exhausted:
                self._settled.set()  # the others that wait need not
                reason = f"it may cost ${usd:.4f}, which would pass ${self._budget.max_usd:.2f}"
                raise Failure("budget", reason, tries=1)
            self._settled.clear()
            with self._breakable():
                await self._settled.wait()

    def _give_up(self, failure: Failure) -> None:
        """Raises UserError if it is one of many in a row that another try might have helped."""
        self._in_vain = self._in_vain + 1 if failure.tries > 1 else 0
        if self._in_vain >= _IN_VAIN:
            raise UserError(
                f"{self._endpoint.base_url} answered none of the last {_IN_VAIN} prompts "
                f"({failure}): see that the server is well, then run the same command again"
            )

    async def _written(self, answer: Answer) -> None:
        done = asyncio.get_running_loop().create_future()
        self._unwritten.put_nowait((answer, done))
        await done

    async def _write(self) -> None:
        """Stores answers; those that come while the disk is busy go together, with one fsync."""
        while True:
            batch = [await self._unwritten.get()]
            while not self._unwritten.empty():
                batch.append(self._unwritten.get_nowait())
            error: Exception | None = None
            try:
                await asyncio.to_thread(self._store.append, [answer for answer, _ in batch])
            except Exception as raised:
                error = raised
            for _, done in batch:
                if not done.done():
                    done.set_exception(error) if error else done.set_result(None)

    @contextmanager
    def _breakable(self) -> Iterator[None]:
        """Inside, `stop` ends this task: nothing of it is under way at the endpoint."""
        task = asyncio.current_task()
        assert task is not None
        if self._stopped:
            raise asyncio.CancelledError
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)
