"""Load on a service, and what came of it: latencies, errors, and the server's own account."""

import asyncio
import io
import itertools
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lorair.degradations import degrade, to_uint8
from lorair.images import read_image, tile_starts
from lorair.inference import Runtime, pad_reflected, tensor_from_pixels
from lorair.model import Routing
from lorair_serving.client import AsyncClient
from lorair_serving.errors import ServingError
from lorair_serving.repository import FRONT, RESTORER, ROUTER, Service

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Load:
    """How images arrive for ``seconds``: from ``clients`` that each wait for their answer (closed loop), or at
    ``rate`` images a second, at random and whatever has been answered (open loop, Poisson)."""

    seconds: float
    clients: int | None = None
    rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.clients is None) == (self.rate is None):
            raise ValueError("name either a number of clients (closed loop) or a rate (open loop)")


@dataclass(frozen=True)
class Outcome:
    """One request: when it began after the load did, how long it took, and why it failed if it did."""

    began_s: float
    latency_ms: float
    error: str | None = None


@dataclass(frozen=True)
class ModelAccount:
    """What the server itself counted of one model: images or tiles, executions, and where their time went."""

    inferences: int
    executions: int
    queue_ms: float
    compute_ms: float
    batch_sizes: Mapping[int, int]

    @property
    def mean_batch(self) -> float:
        """Images or tiles per execution."""
        return self.inferences / max(1, self.executions)


@dataclass(frozen=True)
class LoadReport:
    """A load's outcomes, and the server's account by model."""

    load: Load
    took_s: float
    outcomes: Sequence[Outcome]
    accounts: Mapping[str, ModelAccount]

    @property
    def images_per_s(self) -> float:
        return sum(outcome.error is None for outcome in self.outcomes) / self.took_s

    @property
    def errors(self) -> Mapping[str, int]:
        return Counter(outcome.error for outcome in self.outcomes if outcome.error is not None)

    @property
    def latency_ms(self) -> Mapping[int, float]:
        """By percentile, of the images that were answered."""
        answered = [outcome.latency_ms for outcome in self.outcomes if outcome.error is None]
        return {p: float(np.percentile(answered, p)) for p in PERCENTILES} if answered else {}


def payloads(
    photographs: Sequence[Path], sizes: Sequence[tuple[int, int]], kinds: Sequence[str], seed: int = 0
) -> list[bytes]:
    """PNG files of every photograph, size (height, width) and degradation, in random order."""
    made = []
    for index, path in enumerate(photographs):
        photograph = Image.fromarray(read_image(path).uint8_pixels())
        for height, width in sizes:
            clean = np.asarray(photograph.resize((width, height), Image.Resampling.LANCZOS), np.float32) / 255
            for kind in kinds:
                pixels = to_uint8(degrade(clean, kind, np.random.default_rng((seed, index))))
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
                made.append(buffer.getvalue())
    random.Random(seed).shuffle(made)
    return made


async def run_load(client: AsyncClient, images: Sequence[bytes], load: Load) -> LoadReport:
    """Send images as ``load`` says, in turn, and wait for every answer."""
    before = {model: await _counters(client, model) for model in (FRONT, ROUTER, RESTORER)}
    outcomes: list[Outcome] = []
    start = time.perf_counter()
    turn = itertools.cycle(images)

    async def one() -> None:
        began = time.perf_counter()
        error = None
        try:
            await client.restore(next(turn))
        except ServingError as refused:
            error = str(refused)
        outcomes.append(Outcome(began - start, 1000 * (time.perf_counter() - began), error))

    async def in_turn() -> None:
        while time.perf_counter() - start < load.seconds:
            await one()

    if load.clients is not None:
        await asyncio.gather(*(in_turn() for _ in range(load.clients)))
    else:
        await _poisson(one, load)
    took = time.perf_counter() - start
    accounts = {
        model: _account(counters, await _counters(client, model))
        for model, counters in before.items()
        if counters is not None
    }
    return LoadReport(load, took, outcomes, accounts)


async def _poisson(one: Any, load: Load) -> None:  # noqa: ANN401
    assert load.rate is not None
    rng = random.Random(load.seed)
    running, due, start = set(), 0.0, time.perf_counter()
    while due < load.seconds:
        await asyncio.sleep(max(0.0, start + due - time.perf_counter()))
        running.add(asyncio.ensure_future(one()))
        due += rng.expovariate(load.rate)
    await asyncio.gather(*running)


def rate_in_process(runtime: Runtime, images: Sequence[Any], service: Service, batch: int, seconds: float) -> float:
    """Images per second of the runtime alone: each image routed, its tiles restored in batches of that size.

    Args:
        runtime: of this process.
        images: uint8 ``[H, W, 3]``, taken in turn.
        service: says the tiles.
        batch: tiles at a time, of one or several images, as the service batched them.
        seconds: how long to go on.
    """
    tensors = [tensor_from_pixels(image) for image in images]
    tiles: list[torch.Tensor] = []
    routings: list[Routing | None] = []
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        image = tensors[done % len(tensors)]
        routing = runtime.route(image)
        parts = _tiles(image, service)
        tiles += parts
        routings += [routing] * len(parts)
        while len(tiles) >= batch:
            runtime.restore(torch.cat(tiles[:batch]), _joined(routings[:batch]))
            del tiles[:batch], routings[:batch]
        done += 1
    return done / (time.perf_counter() - start)


def _tiles(image: torch.Tensor, service: Service) -> list[torch.Tensor]:
    image, side = pad_reflected(image, service.tile), service.tile
    tops, lefts = (tile_starts(length, side, service.overlap) for length in image.shape[-2:])
    return [image[..., top : top + side, left : left + side] for top in tops for left in lefts]


def _joined(routings: Sequence[Routing | None]) -> Routing | None:
    known = [routing for routing in routings if routing is not None]
    if not known:
        return None
    return Routing(
        None, torch.cat([routing.gates for routing in known]), torch.cat([routing.prior for routing in known])
    )


async def _counters(client: AsyncClient, model: str) -> Any:  # noqa: ANN401
    """The server's counters; None where it has no such model."""
    try:
        return await client.statistics(model)
    except ServingError:
        return None


def _account(before: Any, after: Any) -> ModelAccount:  # noqa: ANN401
    earlier = {entry.batch_size: entry.compute_infer.count for entry in before.batch_stats}
    sizes = {
        entry.batch_size: entry.compute_infer.count - earlier.get(entry.batch_size, 0) for entry in after.batch_stats
    }
    first, last = before.inference_stats, after.inference_stats
    return ModelAccount(
        after.inference_count - before.inference_count,
        after.execution_count - before.execution_count,
        (last.queue.ns - first.queue.ns) / 1e6,
        (last.compute_infer.ns - first.compute_infer.ns) / 1e6,
        {size: count for size, count in sorted(sizes.items()) if count},
    )
