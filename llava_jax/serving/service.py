"""From a chat request to its answers: what the routes stand on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Literal

from llava_jax.errors import UserError
from llava_jax.images import ImageError
from llava_jax.inference.answers import Writing
from llava_jax.inference.engine import Engine, PromptTooLong, Request
from llava_jax.inference.scheduler import Scheduler
from llava_jax.serving.conversation import TOO_LONG, image_urls, to_request, with_seed
from llava_jax.serving.errors import ApiError, printable
from llava_jax.serving.media import Media, refused
from llava_jax.serving.metrics import Metrics
from llava_jax.serving.protocol import ChatRequest
from llava_jax.serving.worker import Answers, Notify, Worker

_PREPARING = 2  # requests whose images are looked at, and whose text is tokenised, at a time


class Service:
    """One model and those who wait for it.

    name: what clients call the model. stopping: whether no request is taken any more.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler, media: Media, name: str, places: int):
        """places: requests that may be served or wait at a time."""
        self.engine, self.media, self.name = engine, media, name
        self.created = int(time.time())
        self.worker = Worker(scheduler, places)
        self.metrics = Metrics(scheduler, engine.sight)
        self.stopping = False
        self._inside = 0
        self._preparing = ThreadPoolExecutor(_PREPARING, "prepare")

    @property
    def status(self) -> Literal["ok", "stopping", "failed"]:
        if self.worker.failed:
            return "failed"
        return "stopping" if self.stopping else "ok"

    @property
    def busy(self) -> bool:
        """Whether requests are being answered."""
        return self._inside > 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For the time of a request's answer. Raises ApiError, 503, when no more are taken."""
        if self.stopping:
            headers = {"Retry-After": "5", "Connection": "close"}
            raise ApiError(503, "The server is shutting down.", headers=headers)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def check_model(self, name: str) -> None:
        """Raises ApiError, 404, for any model but the one that is served."""
        if name != self.name:
            raise ApiError(
                404,
                f"The model '{printable(name)}' does not exist: this server has '{self.name}'.",
                param="model",
                code="model_not_found",
            )

    @asynccontextmanager
    async def answers(self, asked: ChatRequest) -> AsyncIterator[Answers]:
        """Has a request answered; leaving ends what is still being written.

        Raises:
          ApiError: it cannot be answered, or not now.
        """
        arrived = time.monotonic()
        self.check_model(asked.model)
        with self.worker.place():
            images = await self.media.read_all(image_urls(asked))
            longest = self.engine.config.language.max_length
            request = to_request(asked, images, longest)
            loop = asyncio.get_running_loop()
            begin = await loop.run_in_executor(self._preparing, self._prepared, request, asked.n)
            with self.worker.write(begin) as answers:
                await answers.change()
                first = time.monotonic()
                try:
                    yield answers
                finally:
                    self.metrics.answered(arrived, first, answers.writings)

    def close(self) -> None:
        """Ends its threads."""
        self._preparing.shutdown()
        self.worker.close()

    def _prepared(self, request: Request, n: int) -> Callable[[Notify], list[Writing]]:
        """What begins `n` answers."""
        try:
            (prompt,) = self.engine.prepare([request])
        except ImageError:
            raise refused("An image is damaged: it cannot be decoded.") from None
        except PromptTooLong as error:
            raise ApiError(400, str(error), param="messages", code=TOO_LONG) from None
        except UserError as error:
            raise ApiError(400, str(error), param="messages") from None

        def begin(notify: Notify) -> list[Writing]:
            return [
                self.engine.writing(request, with_seed(prompt, number), notify)
                for number in range(n)
            ]

        return begin
