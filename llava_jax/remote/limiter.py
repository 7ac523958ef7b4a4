"""How many requests run at once."""

import asyncio
from collections import deque

_FIRST = 8  # requests at once before anything is known
_GROWTH = 0.2  # a round of answers adds this to the limit, once it has been too high
_CUT = 0.5  # a refusal takes this: a round of nothing else halves it


class Limiter:
    """Finds the number of requests at once that an endpoint bears, up to `most`.

    The limit doubles with every round of answers until the endpoint refuses one; from then on it
    grows slowly and shrinks with each refusal, so by as much as the share of requests that are
    refused (the idea of DCTCP, RFC 8257): one too many costs little, a wall halves it each round.
    When even one at a time is refused, all wait as long as the endpoint says.
    """

    def __init__(self, most: int):
        self.limit = float(min(_FIRST, most))
        self.running = 0
        self._most = most
        self._doubling = True
        self._closed_until = 0.0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Waits for a place."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._hand_out()
        await turn

    def release(self) -> None:
        self.running -= 1
        self._hand_out()

    def answered(self) -> None:
        """A request got its answer: a little more might go."""
        grown = self.limit + (1.0 if self._doubling else _GROWTH / self.limit)
        self.limit = min(grown, float(self._most))

    def refused(self, wait: float) -> None:
        """One was too many; the endpoint wants it again after `wait` seconds."""
        self._doubling = False
        if self.limit <= 1:
            loop = asyncio.get_running_loop()
            self._closed_until = max(self._closed_until, loop.time() + wait)
            loop.call_at(self._closed_until, self._hand_out)
        self.limit = max(1.0, self.limit - _CUT)

    def _hand_out(self) -> None:
        if asyncio.get_running_loop().time() < self._closed_until:
            return
        while self._queue and self.running < int(self.limit):
            turn = self._queue.popleft()
            if not turn.done():  # cancelled
                turn.set_result(None)
                self.running += 1
