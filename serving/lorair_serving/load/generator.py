"""Puts load on a service."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from lorair_serving.client import AsyncClient, ModelCounters, ServingError
from lorair_serving.load.outcomes import Load, LoadReport, Outcome
from lorair_serving.repository import FRONT, RESTORER, ROUTER


async def run_load(client: AsyncClient, images: Sequence[bytes], load: Load) -> LoadReport:
    """Send images as ``load`` says, in turn, and wait for every answer."""
    before = {model: await _counters(client, model) for model in (FRONT, ROUTER, RESTORER)}
    outcomes: list[Outcome] = []
    start = time.perf_counter()
    turn = itertools.cycle(images)

    async def send() -> None:
        began = time.perf_counter()
        error = code = None
        try:
            await client.restore(next(turn))
        except ServingError as failure:
            error, code = str(failure), failure.code
        outcomes.append(Outcome(began - start, 1000 * (time.perf_counter() - began), error, code))

    if load.rate is None:
        await _closed_loop(send, load.clients or 1, load.seconds)
    else:
        await _open_loop(send, load.rate, load.seconds, load.seed)
    took = time.perf_counter() - start
    after = {model: await _counters(client, model) for model in before}
    counters = {
        model: now.since(earlier)
        for model, now in after.items()
        if now is not None and (earlier := before[model]) is not None
    }
    return LoadReport(load, took, outcomes, counters)


async def _closed_loop(send: Callable[[], Awaitable[None]], clients: int, seconds: float) -> None:
    end = time.perf_counter() + seconds

    async def in_turn() -> None:
        while time.perf_counter() < end:
            await send()

    await asyncio.gather(*(in_turn() for _ in range(clients)))


async def _open_loop(send: Callable[[], Awaitable[None]], rate: float, seconds: float, seed: int) -> None:
    """Poisson arrivals."""
    rng = random.Random(seed)
    running: set[asyncio.Future[None]] = set()
    due, start = 0.0, time.perf_counter()
    while due < seconds:
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        running.add(asyncio.ensure_future(send()))
        due += rng.expovariate(rate)
    await asyncio.gather(*running)


async def _counters(client: AsyncClient, model: str) -> ModelCounters | None:
    """The server's counters; None where it has no such model."""
    try:
        return await client.counters(model)
    except ServingError:
        return None
