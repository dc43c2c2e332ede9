"""What the model in front does with one request: check, decode, route, restore by tiles, encode."""

import threading
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorair.images import (
    MapTiles,
    Picture,
    decode_image,
    encode_image,
    picture_from_samples,
    samples_from_picture,
    uint8_samples,
)
from lorair.inference import Runtime, restore_picture, tensor_from_pixels, usable_tile
from lorair.model import Routing
from lorair_serving.repository import Service


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """One image, as a file's bytes (uint8 [N]) or as pixels (uint8 [H, W, C]), and how to restore it.

    ``degradation`` is the one to assume, which skips the router; the images of a ``stream`` share one routing for a
    while; one in the ``background`` waits for all others.
    """

    encoded: NDArray[np.uint8] | None = None
    pixels: NDArray[np.uint8] | None = None
    degradation: str | None = None
    stream: str | None = None
    background: bool = False


@dataclass(frozen=True)
class Answer:
    """A restored image, the share of each degradation's expert by name, and the degradation of the largest."""

    picture: Picture
    gates: dict[str, float]
    degradation: str

    def encoded(self) -> NDArray[np.uint8]:
        """A file's bytes, uint8 [N], in the format that the image came in; PNG for pixels."""
        return np.frombuffer(encode_image(self.picture, self.picture.format), np.uint8)

    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [H, W, C], with as many channels as the image came with; a file of 16 bits by its nearest levels."""
        return uint8_samples(samples_from_picture(self.picture))

    def outputs(self, names: Collection[str], request: ImageRequest) -> dict[str, NDArray[Any]]:
        """The outputs of those names; of the two forms of the image, where both are asked for, that of the input."""
        wanted = set(names)
        if {"restored_encoded", "restored_pixels"} <= wanted:
            wanted.remove("restored_encoded" if request.encoded is None else "restored_pixels")
        make = {
            "restored_encoded": self.encoded,
            "restored_pixels": self.pixels,
            "degradation": lambda: np.array([self.degradation.encode()], object),
            "gates": lambda: np.array(list(self.gates.values()), np.float32),
        }
        return {name: made() for name, made in make.items() if name in wanted}


class RequestHandler:
    """Answers requests over a runtime, from as many threads as the runtime supports.

    ``map_tiles`` is that of :func:`lorair.images.restore_tiled`.
    """

    def __init__(self, runtime: Runtime, service: Service, map_tiles: MapTiles = map) -> None:
        self.runtime = runtime
        self.service = service
        self.tile = usable_tile(runtime, service.tile, service.overlap)
        self._map_tiles = map_tiles
        self._streams: OrderedDict[str, tuple[float, Routing]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, request: ImageRequest) -> Answer:
        """Restore one image.

        Raises:
            ValueError: both or neither of bytes and pixels, more of them than the service takes, another shape,
                an unknown degradation.
            ImageError: the bytes are no image, or a damaged one.
        """
        picture = self._picture(request)
        routing = self._routing(request, picture)
        restored = restore_picture(self.runtime, picture, routing, self.tile, self.service.overlap, self._map_tiles)
        return Answer(restored.picture, restored.gates, restored.degradation)

    def _picture(self, request: ImageRequest) -> Picture:
        limit = self.service
        if (request.encoded is None) == (request.pixels is None):
            raise ValueError("a request has either 'encoded', a file's bytes, or 'pixels' [H, W, C]")
        if request.pixels is not None:
            height, width = request.pixels.shape[:2] if request.pixels.ndim == 3 else (0, 0)
            if height * width > limit.max_pixels:
                raise ValueError(f"{width} x {height} pixels exceed the limit of {limit.max_pixels}")
            return picture_from_samples(request.pixels)
        assert request.encoded is not None
        if request.encoded.size > limit.max_bytes:
            raise ValueError(f"{request.encoded.size} bytes exceed the limit of {limit.max_bytes}")
        return decode_image(request.encoded.tobytes(), limit.max_pixels)

    def _routing(self, request: ImageRequest, picture: Picture) -> Routing | None:
        """The routing that is known before the image is seen: of a named degradation, or of its stream."""
        if request.degradation is not None:
            return self.runtime.pin(request.degradation, 1)
        if request.stream is None:
            return None
        now = time.monotonic()
        with self._lock:
            seen, routing = self._streams.get(request.stream, (-float("inf"), None))
        if routing is not None and now - seen < self.service.refresh_s:
            return routing
        routing = self.runtime.route(tensor_from_pixels(picture.pixels))
        if routing is None:
            raise ValueError("this service routes inside its graph, tile by tile, so a stream cannot share a routing")
        with self._lock:
            self._streams[request.stream] = now, routing
            self._streams.move_to_end(request.stream)
            if len(self._streams) > self.service.max_streams:
                self._streams.popitem(last=False)
        return routing
