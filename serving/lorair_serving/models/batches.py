"""The requests that Triton batched, as one tensor, and the answers to each."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]
from torch import Tensor


def batch_of(requests: Sequence[Any], name: str) -> Tensor:
    """The input of that name of all requests, one after the other."""
    return torch.cat([_input(request, name) for request in requests])


def answers(requests: Sequence[Any], name: str, outputs: Mapping[str, Tensor]) -> list[Any]:
    """One response per request: of every output as many rows as the request's input ``name`` has."""
    sizes = [len(_input(request, name)) for request in requests]
    parts = {output: tensor.cpu().split(sizes) for output, tensor in outputs.items()}
    return [
        pb_utils.InferenceResponse(
            [pb_utils.Tensor.from_dlpack(output, part[index].contiguous()) for output, part in parts.items()]
        )
        for index in range(len(requests))
    ]


def _input(request: Any, name: str) -> Tensor:  # noqa: ANN401
    return torch.from_dlpack(pb_utils.get_input_tensor_by_name(request, name).to_dlpack())
