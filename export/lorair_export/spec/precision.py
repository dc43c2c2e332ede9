"""The precisions of a graph's restorer: what each computes in, and what it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorair_export.extras import require

OPSET = 20


@dataclass(frozen=True)
class Format:
    """An 8-bit number format: its name among ONNX's tensor types, its largest value, and the largest of kernels.

    Processors without VNNI multiply int8 by adding two products in 16 bits, where 2 * 255 * 127 saturates and
    2 * 255 * 64 does not.
    """

    onnx_type: str
    largest: float
    largest_in_kernels: float

    @cached_property
    def type(self) -> int:
        """ONNX's number of the type."""
        return getattr(require("onnx").TensorProto, self.onnx_type)

    def rounded(self, values: NDArray[np.floating]) -> NDArray[Any]:
        """Values in units of the scale, clipped and rounded to nearest even, in the 8-bit type."""
        dtype = require("onnx").helper.tensor_dtype_to_np_dtype(self.type)
        clipped = np.clip(values, -self.largest, self.largest)
        return (np.rint(clipped) if dtype == np.int8 else clipped).astype(dtype)


@dataclass(frozen=True)
class Precision:
    """What the restorer is traced in, the format its convolutions are quantised to, and what that needs.

    `least_share` is the share of its convolutions' multiplications that must take the precision: in 8 bits some
    stay float32, else all take it. `least_capability` is of an NVIDIA GPU.
    """

    dtype: torch.dtype = torch.float32
    eight_bit: Format | None = None
    least_opset: int = 18
    least_capability: str = "7.5"
    least_share: float = 1.0


PRECISIONS = {
    "fp32": Precision(),
    "fp16": Precision(torch.float16),
    "bf16": Precision(torch.bfloat16, least_opset=22, least_capability="8.0"),
    "int8": Precision(eight_bit=Format("INT8", 127, 64), least_share=0.5),
    "fp8": Precision(
        eight_bit=Format("FLOAT8E4M3FN", 448, 448), least_opset=19, least_capability="8.9", least_share=0.5
    ),
}


def chosen_opset(choice: int | None, precision: str) -> tuple[int, str]:
    """The chosen operator set, else the usual one; and where the precision needs a later one, why it was raised."""
    least = PRECISIONS[precision].least_opset
    if choice is None and least > OPSET:
        return least, f"raised from {OPSET}, as it is the first that has {precision} convolutions"
    return choice or OPSET, ""


def able(capabilities: Sequence[str], precision: str) -> tuple[str, ...]:
    """Those of the compute capabilities, as `"8.6"`, whose GPUs compute in the precision."""
    least = _version(PRECISIONS[precision].least_capability)
    return tuple(capability for capability in capabilities if _version(capability) >= least)


def unable(precision: str) -> str:
    """The end of a sentence about a GPU that does not compute in the precision."""
    least = PRECISIONS[precision].least_capability
    return f"does not compute in {precision}, which takes {least} or above; choose another --precision"


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))
