"""Where a tensor's operation runs: in a Triton kernel or in plain torch."""

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor

# What torch passes to setup_context and backward: it takes any attribute, and torch gives it no type.
GradContext = Any


@cache
def has_triton() -> bool:
    """Whether triton is installed; it is imported where a kernel runs."""
    return importlib.util.find_spec("triton") is not None


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, on any device."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def runs_triton(x: Tensor) -> bool:
    """Whether an operation on x runs in its Triton kernel: on CUDA from compute capability 8.0, or in the interpreter.

    float64 always runs in torch; so does bfloat16 under the interpreter, which multiplies it wrongly.
    """
    if not has_triton() or x.dtype.itemsize > 4:
        return False
    if interpreting():
        return x.dtype is not torch.bfloat16
    return x.is_cuda and torch.cuda.get_device_capability(x.device) >= (8, 0)


def device_of(x: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of x the current one, which a launch needs."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
