"""The limiter's arithmetic; what it finds at a server is in test_client."""

import asyncio

from llava_jax.remote.limiter import Limiter


def test_it_doubles_until_it_is_refused_and_then_grows_slowly() -> None:
    limiter = Limiter(64)
    rounds = [limiter.limit]
    for _ in range(2):
        for _ in range(int(limiter.limit)):
            limiter.answered()
        rounds.append(limiter.limit)
    assert rounds == [8, 16, 32]
    asyncio.run(_refuse(limiter))
    for _ in range(32):
        limiter.answered()
    assert 31.5 < limiter.limit < 31.8


def test_a_round_of_refusals_halves_it_down_to_one() -> None:
    limiter = Limiter(8)
    for halved in (4, 2, 1, 1):
        for _ in range(int(limiter.limit)):
            asyncio.run(_refuse(limiter))
        assert limiter.limit == halved


async def _refuse(limiter: Limiter) -> None:
    limiter.refused(0.0)


def test_it_does_not_pass_the_most() -> None:
    limiter = Limiter(3)
    assert limiter.limit == 3
    limiter.answered()
    assert limiter.limit == 3


def test_places_are_taken_in_turn() -> None:
    async def scenario() -> list[int]:
        limiter, order = Limiter(2), []

        async def visit(number: int) -> None:
            await limiter.acquire()
            assert limiter.running <= 2
            order.append(number)
            await asyncio.sleep(0.001)
            limiter.release()

        await asyncio.gather(*map(visit, range(10)))
        return order

    assert asyncio.run(scenario()) == list(range(10))


def test_a_refusal_of_the_only_one_makes_all_wait() -> None:
    async def scenario() -> float:
        limiter, loop = Limiter(1), asyncio.get_running_loop()
        await limiter.acquire()
        start = loop.time()
        limiter.refused(0.1)
        limiter.release()
        await asyncio.gather(limiter.acquire())
        return loop.time() - start

    assert asyncio.run(scenario()) >= 0.1
