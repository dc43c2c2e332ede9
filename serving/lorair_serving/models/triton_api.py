"""What lorair uses of Triton's Python backend, with types: requests, tensors, responses, other models."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]
from numpy.typing import NDArray
from torch import Tensor

from lorair_serving.errors import TRITON_CODES, ErrorCode, message_with_code


class BackendTensor(Protocol):
    """A pb_utils.Tensor."""

    def name(self) -> str: ...
    def as_numpy(self) -> NDArray[Any]: ...
    def to_dlpack(self) -> object: ...


class Response(Protocol):
    """A pb_utils.InferenceResponse."""


class ResponseSender(Protocol):
    """Answers one request, from any thread."""

    def is_cancelled(self) -> bool: ...
    def send(self, response: Response, flags: int) -> None: ...


class Request(Protocol):
    """A pb_utils.InferenceRequest; its tensors are valid only during the call that receives it."""

    def inputs(self) -> Sequence[BackendTensor]: ...
    def parameters(self) -> str: ...
    def requested_output_names(self) -> Sequence[str]: ...
    def get_response_sender(self) -> ResponseSender: ...


def batch_of(requests: Sequence[Request], name: str) -> Tensor:
    """The input of that name of all requests, one after the other."""
    return torch.cat([_input(request, name) for request in requests])


def responses(requests: Sequence[Request], name: str, outputs: Mapping[str, Tensor]) -> list[Response]:
    """One response per request: of every output as many rows as the request's input ``name`` has."""
    sizes = [len(_input(request, name)) for request in requests]
    parts = {output: tensor.cpu().split(sizes) for output, tensor in outputs.items()}
    return [
        pb_utils.InferenceResponse([_tensor(output, part[index]) for output, part in parts.items()])
        for index in range(len(requests))
    ]


def infer(model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
    """The outputs of another model of this server, on the CPU; RuntimeError where it fails."""
    tensors = [_tensor(name, tensor) for name, tensor in inputs.items()]
    request = pb_utils.InferenceRequest(model_name=model, requested_output_names=list(outputs), inputs=tensors)
    response = request.exec()
    if response.has_error():
        raise RuntimeError(response.error().message())
    found = (pb_utils.get_output_tensor_by_name(response, name) for name in outputs)
    return [torch.from_dlpack(tensor.to_dlpack()).cpu() for tensor in found]


def send_outputs(sender: ResponseSender, outputs: Mapping[str, NDArray[Any]]) -> None:
    """Answer a request, once, with arrays by the names of its outputs."""
    tensors = [pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in outputs.items()]
    sender.send(pb_utils.InferenceResponse(tensors), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def send_error(sender: ResponseSender, code: ErrorCode, text: str) -> None:
    """Answer a request, once, with why it failed."""
    error = pb_utils.TritonError(message_with_code(code, text), getattr(pb_utils.TritonError, TRITON_CODES[code]))
    sender.send(pb_utils.InferenceResponse(error=error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _input(request: Request, name: str) -> Tensor:
    return torch.from_dlpack(pb_utils.get_input_tensor_by_name(request, name).to_dlpack())


def _tensor(name: str, tensor: Tensor) -> BackendTensor:
    return pb_utils.Tensor.from_dlpack(name, tensor.contiguous())
