"""The clients of benchmarks/load.py: what each does, and what its answers are counted as."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import httpx2
from load_requests import Gone, Kind, answer_of

_HEADERS = {"Content-Type": "application/json"}
_PATIENCE = 600.0  # seconds without a byte from the server, until that is a failure
_KEPT_FAILURES = 50

# What may become of a request; anything else is a failure.
RIGHT = "right"  # the answer that it got when it was asked alone, or its refusal
WAIT = "told to wait"  # 429 with Retry-After: it comes again
LEFT = "left"  # the client did
CLOSED = "closed"  # not let in any more by a server that was told to stop
EXPECTED = (RIGHT, WAIT, LEFT, CLOSED)


class Clients:
    """Many clients of one server, each of which asks and asks again, and looks at what it gets.

    outcomes: counts of what became of the requests, by kind. failures: the first that are none of
    EXPECTED. seconds: that right answers took, by kind, without what was told to wait.
    """

    def __init__(self, http: httpx2.AsyncClient, kinds: Sequence[Kind]):
        """http: with the server's address."""
        self._http, self._kinds = http, kinds
        self._alone: dict[bytes, tuple[Any, ...]] = {}
        self._stopping = float("inf")  # since when, by `time.monotonic`
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.failures: list[str] = []
        self.seconds: dict[str, list[float]] = defaultdict(list)

    async def ask_alone(self) -> None:
        """Asks valid requests one by one: what is answered now must be answered ever after."""
        for kind in self._kinds:
            if kind.status == 200 and not kind.leaves:
                for body in kind.bodies:
                    async with self._asked(kind, body) as response:
                        response.raise_for_status()
                        self._alone[body] = await answer_of(response, kind)

    def count(self, outcome: str) -> int:
        """Of all kinds."""
        return sum(counts[outcome] for counts in self.outcomes.values())

    async def run(self, count: int) -> None:
        """`count` of them, until a server that is told to stop lets none in."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._client(random.Random(number)))

    def server_stops(self) -> None:
        """From now on it may refuse whom it has not let in yet."""
        self._stopping = time.monotonic()

    async def _client(self, draw: random.Random) -> None:
        outcome = ""
        while outcome != CLOSED:
            (kind,) = draw.choices(self._kinds, [kind.share for kind in self._kinds])
            body = draw.choice(kind.bodies)
            while (outcome := await self._outcome(kind, body)) == WAIT:
                self.outcomes[kind.name][WAIT] += 1
            self.outcomes[kind.name][outcome] += 1
            if outcome not in EXPECTED and len(self.failures) < _KEPT_FAILURES:
                self.failures.append(f"{kind.name}: {outcome}")

    async def _outcome(self, kind: Kind, body: bytes) -> str:
        begun, let_in = time.monotonic(), False
        try:
            async with self._asked(kind, body) as response:
                if response.status_code == 503 and self._stopping < float("inf"):
                    return CLOSED
                if response.status_code == 429:
                    await asyncio.sleep(int(response.headers["retry-after"]))
                    return WAIT
                let_in = True
                outcome = await self._judged(response, kind, body)
        except Gone:
            return LEFT
        except httpx2.TransportError as error:
            stopping = self._stopping < float("inf")
            # One whose body never comes whole is not let in either.
            refused = begun > self._stopping or (stopping and kind.status == 408)
            return CLOSED if refused and not let_in else f"dropped, {error!r}"
        except (ValueError, KeyError) as error:
            return f"no answer of the API, {error!r}"
        if outcome == RIGHT and kind.status == 200:
            self.seconds[kind.name].append(time.monotonic() - begun)
        return outcome

    async def _judged(self, response: httpx2.Response, kind: Kind, body: bytes) -> str:
        if response.status_code != kind.status:
            await response.aread()
            return f"{response.status_code} for {kind.status}, {response.text[:200]}"
        if kind.status == 200:
            answer = await answer_of(response, kind)
            alone = self._alone.get(body, answer)
            return RIGHT if answer == alone else f"another answer, {answer} for {alone}"
        await response.aread()
        return RIGHT if response.json()["error"]["message"] else "a refusal without a word"

    def _asked(self, kind: Kind, body: bytes) -> Any:
        return self._http.stream("POST", kind.path, content=kind.send(body), headers=_HEADERS)


def client_of(url: str) -> httpx2.AsyncClient:
    """As many connections as there are clients."""
    limits = httpx2.Limits(max_connections=None)
    return httpx2.AsyncClient(base_url=url, timeout=_PATIENCE, limits=limits)
