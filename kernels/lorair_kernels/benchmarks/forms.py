"""The forms that a kernel is compared in: itself, its reference in torch eager, and that by torch.compile."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lorair_kernels.benchmarks.case import Case, Form, Output
from lorair_kernels.benchmarks.work import Work

# Relative L2 error allowed against float32 or wider; torch's own forms round more often and may have ten times that.
TOLERANCE = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}
TORCH_FACTOR = 10
DTYPE = torch.float16


def forms(
    kernel: Callable[..., Output], plain: Callable[..., Output], arguments: tuple[Any, ...], dtype: torch.dtype
) -> dict[str, Form]:
    """A kernel and its reference, eager and compiled; all in CUDA graphs, so that no launch overhead is timed."""
    eager = Form(plain, arguments, TORCH_FACTOR * TOLERANCE[dtype], "graph")
    ours = Form(kernel, arguments, TOLERANCE[dtype], "graph")
    return {"triton": ours, "torch eager": eager, "torch.compile": replace(eager, through="compile")}


def in_double(plain: Callable[..., Output], arguments: tuple[Any, ...]) -> Callable[[], Output]:
    """A call of the reference in float64."""
    return lambda: plain(*(_wide(argument) for argument in arguments))


def map_case(
    what: str,
    x: Tensor,
    work: Work,
    kernel: Callable[..., Output],
    plain: Callable[..., Output],
    arguments: tuple[Any, ...],
) -> Case:
    """The case of a kernel on one map `x` [B, H, W, C]."""
    shape = "x".join(str(length) for length in x.shape)
    return Case(what, shape, x.dtype, (work,), forms(kernel, plain, arguments, x.dtype), in_double(plain, arguments))


def _wide(argument: object) -> object:
    return argument.double() if isinstance(argument, Tensor) and argument.is_floating_point() else argument
