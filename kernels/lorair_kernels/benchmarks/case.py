"""A case: one piece of work done in several forms on the same inputs, and how each form's output is checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lorair_kernels.benchmarks.errors import AccuracyError
from lorair_kernels.benchmarks.work import Work

Output = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Form:
    """A way to do the work: what is called, with which arguments, and the relative L2 error allowed.

    `through` says how it is timed: `launches` as it is, `graph` in a CUDA graph, `own graphs` where the call
    replays CUDA graphs itself, `compile` by torch.compile in a CUDA graph, `max-autotune` by that mode of
    torch.compile. `expected` replaces the case's where this form's output differs from the others'.
    """

    call: Callable[..., Output]
    arguments: tuple[Any, ...]
    tolerance: float
    through: Literal["launches", "own graphs", "graph", "compile", "max-autotune"] = "launches"
    expected: Callable[[], Output] | None = None


@dataclass(frozen=True)
class Case:
    """The forms of one piece of work, compared on the same inputs.

    `work` has one entry per launch; `expected` computes the right output in float32 or wider. `image`
    `[B, 3, H, W]` is given where outputs are restored images: their error is relative to what was added to it.
    """

    what: str
    shape: str
    dtype: torch.dtype
    work: tuple[Work, ...]
    forms: Mapping[str, Form]
    expected: Callable[[], Output]
    image: Tensor | None = None

    def __str__(self) -> str:
        return f"{self.what}, {self.shape}, {str(self.dtype).removeprefix('torch.')}"


def relative_error(got: Output, expected: Output, origin: Tensor | None = None) -> float:
    """The largest relative L2 distance of the tensors of an output, measured from `origin` where it is given."""
    errors: list[float] = []
    for y, right in zip(_tensors(got), _tensors(expected), strict=True):
        size = right.double() if origin is None else right.double() - origin.double()
        errors.append(float((y.double() - right.double()).norm() / size.norm()))
    return max(errors)


def psnr_db(got: Tensor, expected: Tensor) -> float:
    """PSNR in dB of images in [0, 1]."""
    return float(-10 * (got.double() - expected.double()).square().mean().clamp_min(1e-20).log10())


def check(case: Case, name: str, got: Output, expected: Output) -> tuple[float, float | None]:
    """Relative error of a form's output and, for images, its PSNR in dB; AccuracyError where it is too far, or NaN."""
    error, tolerance = relative_error(got, expected, case.image), case.forms[name].tolerance
    if not error <= tolerance:
        raise AccuracyError(
            f"{case}: relative error of {name} is {error:.1e} from float32 or wider; at most {tolerance:.0e} is allowed"
        )
    images = case.image is not None
    return error, psnr_db(_tensors(got)[0], _tensors(expected)[0]) if images else None


def _tensors(output: Output) -> tuple[Tensor, ...]:
    return (output,) if isinstance(output, Tensor) else output
