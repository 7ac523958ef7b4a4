"""The clients of benchmarks/load.py in front of the tiny model, until it is told to stop."""

import asyncio
import signal

import pytest
from load_clients import LEFT, RIGHT, WAIT, Clients, client_of
from load_requests import make_kinds

from tests.serving.live import MODEL, Live, served

SLOW = ("body in drops", "body that stops")


async def crowd(live: Live, clients: int, right: int, but: tuple[str, ...]) -> Clients:
    """They ask until so many are right, and then until the server lets nobody in any more."""
    kinds = [kind for kind in make_kinds(MODEL, long=60) if kind.name not in but]
    async with client_of(live.url) as http:
        them = Clients(http, kinds)
        await them.ask_alone()
        running = asyncio.create_task(them.run(clients))
        while them.count(RIGHT) < right and not running.done():
            await asyncio.sleep(0.1)
        them.server_stops()
        live.server.handle_exit(signal.SIGTERM, None)
        await running
    return them


@pytest.mark.parametrize(
    ("clients", "right", "but"),
    [(30, 150, SLOW), pytest.param(200, 5000, (), marks=pytest.mark.long)],
)
def test_a_crowd(live: Live, clients: int, right: int, but: tuple[str, ...]):
    """Everyone has the answer that it had alone, or its refusal, or is told to come again; who was
    let in has it even when the server is told to stop."""
    with served(engine=live.engine, places=12) as crowded:
        them = asyncio.run(crowd(crowded, clients, right, but))
        worker = crowded.service.worker
        assert worker._taken == 0 and not worker._followers and not worker.failed
    assert not them.failures
    assert them.count(WAIT) and them.count(LEFT)
