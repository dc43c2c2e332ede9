"""tritonclient's gRPC connection, with types: arrays and plain data in and out, one kind of error."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from lorair_export.extras import require
from numpy.typing import NDArray

from lorair_serving.errors import ErrorCode, ServingError, code_and_text

LARGEST_MESSAGE = 2**31 - 1
_CHANNEL = [("grpc.max_send_message_length", LARGEST_MESSAGE), ("grpc.max_receive_message_length", LARGEST_MESSAGE)]

Parameters = Mapping[str, str | bool]


class Connection:
    """A connection to a server, made and used in one event loop. Every method raises ServingError where it fails."""

    def __init__(self, address: str, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._grpc = require("tritonclient.grpc", "serving")
        self._client = require("tritonclient.grpc.aio", "serving").InferenceServerClient(address, channel_args=_CHANNEL)

    async def config(self, model: str) -> Mapping[str, Any]:
        """A model's configuration, as plain data in the form of its message."""
        return (await self._call(self._client.get_model_config, model, as_json=True))["config"]

    async def statistics(self, model: str) -> Mapping[str, Any]:
        """The server's counters of a model, as plain data in the form of its message ModelStatistics."""
        return (await self._call(self._client.get_inference_statistics, model, as_json=True))["model_stats"][0]

    async def infer(
        self, model: str, name: str, data: NDArray[np.uint8], outputs: Sequence[str], parameters: Parameters
    ) -> dict[str, NDArray[Any]]:
        """The outputs of those names that a model gives for one input."""
        tensor = self._grpc.InferInput(name, data.shape, "UINT8")
        tensor.set_data_from_numpy(np.ascontiguousarray(data))
        wanted = [self._grpc.InferRequestedOutput(output) for output in outputs]
        result = await self._call(
            self._client.infer, model, inputs=[tensor], outputs=wanted, parameters=dict(parameters) or None
        )
        return {output: result.as_numpy(output) for output in outputs}

    async def close(self) -> None:
        await self._client.close()

    async def _call(self, method: Callable[..., Awaitable[Any]], model: str, **options: object) -> Any:  # noqa: ANN401
        try:
            return await method(model, **options, client_timeout=self.timeout_s)
        except self._grpc.InferenceServerException as error:
            raise _serving_error(str(error.status()), str(error.message()), self.address) from error


def _serving_error(status: str, message: str, address: str) -> ServingError:
    """A failed call by its gRPC status and message; one without a code was not written by lorair's models."""
    code, text = code_and_text(message)
    if code is not None:
        return ServingError(f"{address}: {text}", code)
    if status == "StatusCode.UNAVAILABLE":
        hint = "is the server running there (gRPC port)?"
        return ServingError(f"no connection to {address} ({message}); {hint}", ErrorCode.UNREACHABLE)
    if status == "StatusCode.DEADLINE_EXCEEDED":
        return ServingError(f"{address} did not answer in time", ErrorCode.NO_ANSWER)
    return ServingError(f"{address}: {message}")
