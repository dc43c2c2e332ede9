"""A client of the service over gRPC, sync and async: images in, restored images out."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lorair_serving.client.connection import Connection
from lorair_serving.client.counters import ModelCounters, counters_from_statistics
from lorair_serving.errors import ErrorCode, ServingError
from lorair_serving.repository import FRONT, ServedModel

ADDRESS = "127.0.0.1:8001"
BACKOFF_S = 0.2

Image = bytes | NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Restored:
    """The image as it was sent, restored: a file's bytes, or uint8 [H, W, C]; and how it was routed.

    ``gates`` is the share of each degradation's expert, ``degradation`` the one of the largest.
    """

    image: Image
    degradation: str
    gates: Mapping[str, float]


class AsyncClient:
    """A connection to a service, made and used in one event loop; many images may be in flight.

    A request that finds no connection, or no model because it is being loaded, is sent again, at most ``retries``
    times: restoring changes nothing on the server. What the service answers is final, rejections too.
    """

    def __init__(self, address: str = ADDRESS, model: str = FRONT, timeout_s: float = 60, retries: int = 3) -> None:
        self.address, self.model, self.retries = address, model, retries
        self._connection = Connection(address, timeout_s)
        self._served: ServedModel | None = None

    async def served(self) -> ServedModel:
        """What is served, and with which settings, asked once; ServingError where it cannot be reached."""
        if self._served is None:
            self._served = ServedModel.from_config(await self._retried(lambda: self._connection.config(self.model)))
        return self._served

    async def restore(
        self, image: Image, degradation: str | None = None, stream: str | None = None, background: bool = False
    ) -> Restored:
        """Restore one image.

        Args:
            image: a PNG, JPEG, WebP or TIFF file's bytes, or pixels uint8 ``[H, W, C]`` (gray, RGB, with alpha).
            degradation: the one to assume; skips the service's router.
            stream: a name that the frames of one stream share; the router sees one of them now and then.
            background: wait for all images that are not in the background.

        Raises:
            ServingError: the service rejects the image, does not answer in time, or cannot be reached; its ``code``
                says which.
            ValueError: pixels of another dtype or shape.
        """
        form, data = _form_and_data(image)
        restored = f"restored_{form}"
        given = {"degradation": degradation, "stream": stream, "background": background or None}
        parameters = {name: value for name, value in given.items() if value is not None}
        degradations = (await self.served()).degradations
        outputs = (restored, "degradation", "gates")
        found = await self._retried(lambda: self._connection.infer(self.model, form, data, outputs, parameters))
        gates = dict(zip(degradations, found["gates"].tolist(), strict=True))
        result = found[restored]
        return Restored(
            result.tobytes() if isinstance(image, bytes) else result, found["degradation"][0].decode(), gates
        )

    async def counters(self, model: str) -> ModelCounters:
        """The server's own counters of one of its models."""
        return counters_from_statistics(await self._retried(lambda: self._connection.statistics(model)))

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        for attempt in range(self.retries):
            try:
                return await call()
            except ServingError as error:
                if error.code is not ErrorCode.UNREACHABLE:
                    raise
                await asyncio.sleep(BACKOFF_S * 2**attempt)
        return await call()


class Client:
    """:class:`AsyncClient` for callers without an event loop; threads may share it, each with an image in flight."""

    def __init__(self, address: str = ADDRESS, model: str = FRONT, timeout_s: float = 60, retries: int = 3) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lorair-client", daemon=True)
        self._thread.start()
        self._client = self._wait(_made(address, model, timeout_s, retries))

    def degradations(self) -> tuple[str, ...]:
        """What the service's model knows, in the order of its gates; ServingError where it cannot be reached."""
        return self._wait(self._client.served()).degradations

    def restore(
        self, image: Image, degradation: str | None = None, stream: str | None = None, background: bool = False
    ) -> Restored:
        """As :meth:`AsyncClient.restore`."""
        return self._wait(self._client.restore(image, degradation, stream, background))

    def close(self) -> None:
        self._wait(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _made(address: str, model: str, timeout_s: float, retries: int) -> AsyncClient:
    return AsyncClient(address, model, timeout_s, retries)


def _form_and_data(image: Image) -> tuple[str, NDArray[np.uint8]]:
    """The name and the data of the input that carries an image; ValueError where it is neither."""
    if isinstance(image, bytes):
        return "encoded", np.frombuffer(image, np.uint8)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"pixels are uint8 [H, W, C]; got {image.dtype} {image.shape}")
    return "pixels", image
