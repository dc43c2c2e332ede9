"""A client of the service over gRPC, sync and async: images in, restored images out."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self, TypeVar

import numpy as np
from lorair_export.extras import require

from lorair_serving.errors import ServingError
from lorair_serving.repository import BUSY, FRONT, SERVICE, ServedModel

ADDRESS = "127.0.0.1:8001"
LARGEST_MESSAGE = 2**31 - 1
BACKOFF_S = 0.2

Image = bytes | np.ndarray
T = TypeVar("T")


@dataclass(frozen=True)
class Restored:
    """The image as it was sent, restored: a file's bytes, or uint8 [H, W, C]; and what was seen of it.

    ``gates`` is the share of each degradation's expert, ``degradation`` the one of the largest.
    """

    image: Image
    degradation: str
    gates: Mapping[str, float]


class AsyncClient:
    """A connection to a service, made and used in one event loop; many images may be in flight.

    A request that finds no connection, or no model because it is just being loaded, is sent again, at most
    ``retries`` times: restoring changes nothing on the server. What the service answers is final, refusals too.
    """

    def __init__(self, address: str = ADDRESS, model: str = FRONT, timeout_s: float = 60, retries: int = 3) -> None:
        self._grpc = require("tritonclient.grpc", "serving")
        self._client = require("tritonclient.grpc.aio", "serving").InferenceServerClient(address, channel_args=_CHANNEL)
        self.address, self.model, self.timeout_s, self.retries = address, model, timeout_s, retries
        self._served: ServedModel | None = None

    async def served(self) -> ServedModel:
        """What is served, and with which settings, asked once; ServingError where it cannot be reached."""
        if self._served is None:
            config = await self._call(self._client.get_model_config, self.model)
            self._served = ServedModel.from_json(config.config.parameters[SERVICE].string_value)
        return self._served

    async def restore(
        self, image: Image, degradation: str | None = None, stream: str | None = None, background: bool = False
    ) -> Restored:
        """Restore one image.

        Args:
            image: a PNG, JPEG, WebP or TIFF file's bytes, or pixels uint8 ``[H, W, C]`` (gray, RGB, with alpha).
            degradation: its name, if known; the service's router is not asked then.
            stream: a name that the frames of one stream share; the router sees one of them now and then.
            background: wait for all images that are not in the background.

        Raises:
            ServingError: the service refuses the image, does not answer in time, or cannot be reached.
        """
        degradations = (await self.served()).degradations
        known = {"degradation": degradation, "stream": stream, "background": background or None}
        result = await self._call(self._client.infer, self.model, **_request(self._grpc, image, known))
        return _restored(result, image, degradations)

    async def statistics(self, model: str) -> Any:  # noqa: ANN401
        """The server's own counters of a model, as its ``ModelStatistics`` message."""
        return (await self._call(self._client.get_inference_statistics, model)).model_stats[0]

    async def close(self) -> None:
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        for attempt in range(self.retries + 1):
            try:
                return await method(*args, **kwargs, client_timeout=self.timeout_s)
            except self._grpc.InferenceServerException as error:
                if attempt == self.retries or not _connection_lost(error):
                    raise _told(error, self.address) from error
                await asyncio.sleep(BACKOFF_S * 2**attempt)
        raise AssertionError


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


async def _made(*args: Any) -> AsyncClient:  # noqa: ANN401
    return AsyncClient(*args)


_CHANNEL = [("grpc.max_send_message_length", LARGEST_MESSAGE), ("grpc.max_receive_message_length", LARGEST_MESSAGE)]


def _request(grpc: ModuleType, image: Image, parameters: Mapping[str, str | bool | None]) -> dict[str, Any]:
    """What ``infer`` takes; ValueError where the image is neither bytes nor uint8 [H, W, C]."""
    if isinstance(image, np.ndarray) and (image.dtype != np.uint8 or image.ndim != 3):
        raise ValueError(f"pixels are uint8 [H, W, C]; got {image.dtype} {image.shape}")
    name = "pixels" if isinstance(image, np.ndarray) else "encoded"
    data = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else image
    tensor = grpc.InferInput(name, data.shape, "UINT8")
    tensor.set_data_from_numpy(np.ascontiguousarray(data))
    outputs = [grpc.InferRequestedOutput(output) for output in (f"restored_{name}", "degradation", "gates")]
    given = {key: value for key, value in parameters.items() if value is not None}
    return {"inputs": [tensor], "outputs": outputs, "parameters": given or None}


def _restored(result: Any, image: Image, degradations: tuple[str, ...]) -> Restored:  # noqa: ANN401
    gates = dict(zip(degradations, result.as_numpy("gates").tolist(), strict=True))
    degradation = result.as_numpy("degradation")[0].decode()
    if isinstance(image, np.ndarray):
        return Restored(result.as_numpy("restored_pixels"), degradation, gates)
    return Restored(result.as_numpy("restored_encoded").tobytes(), degradation, gates)


def _connection_lost(error: Any) -> bool:  # noqa: ANN401
    """Whether there was nobody to answer, which is another thing than a service that is busy."""
    return error.status() == "StatusCode.UNAVAILABLE" and BUSY not in str(error.message())


def _told(error: Any, address: str) -> ServingError:  # noqa: ANN401
    if _connection_lost(error):
        return ServingError(f"no connection to {address} ({error.message()}); is the server up there (gRPC port)?")
    if error.status() == "StatusCode.DEADLINE_EXCEEDED":
        return ServingError(f"{address} did not answer in time")
    return ServingError(f"{address}: {error.message()}")
