"""The runtime of a service without the service, for comparison."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from lorair.images import Samples, tile_starts
from lorair.inference import Runtime, pad_reflected, tensor_from_pixels
from lorair.model import Routing
from lorair_serving.repository import Service


def rate_in_process(runtime: Runtime, images: Sequence[Samples], service: Service, batch: int, seconds: float) -> float:
    """Images per second of only the runtime: each image routed, its tiles restored in batches of that size.

    Args:
        runtime: of this process.
        images: uint8 or uint16 ``[H, W, 3]``, taken in turn.
        service: its tile and overlap are used.
        batch: tiles at a time, of one or several images, as the service batched them.
        seconds: how long to measure.
    """
    tensors = [tensor_from_pixels(image) for image in images]
    tiles: list[Tensor] = []
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


def _tiles(image: Tensor, service: Service) -> list[Tensor]:
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
