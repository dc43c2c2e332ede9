"""Where a tensor's operation runs: in a Triton kernel or in plain torch."""

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor


@cache
def has_triton() -> bool:
    """Whether triton is installed; it is imported where a kernel runs."""
    return importlib.util.find_spec("triton") is not None


def interpreting() -> bool:
    """Whether Triton kernels run in its interpreter, on any device."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def runs_triton(x: Tensor) -> bool:
    """Whether an operation on x runs in its Triton kernel: on CUDA from Ampere on, or in the interpreter.

    The interpreter's products of bfloat16 are wrong, so they are left to torch there, and float64 is everywhere.
    """
    if not has_triton() or x.dtype.itemsize > 4:
        return False
    if interpreting():
        return x.dtype is not torch.bfloat16
    return x.is_cuda and torch.cuda.get_device_capability(x.device) >= (8, 0)


def device_of(x: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of x the current one, which a launch needs."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
