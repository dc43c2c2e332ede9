"""Which tile each kernel runs with, by storage and size; the first row that fits wins.

Chosen by arithmetic and by what compiles without spilling on every architecture (see ``resources``), not by timing.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch


def cdiv(length: int, step: int) -> int:
    """How many steps cover a length."""
    return -(-length // step)


@dataclass(frozen=True)
class Launch:
    """The part of every tile that is Triton's own."""

    warps: int
    stages: int

    def arguments(self, **constants: object) -> dict[str, Any]:
        """Keyword arguments of a launch: the tile's sides in capitals, as the kernels name them, and ``constants``."""
        sides = {name.upper(): value for name, value in asdict(self).items() if name not in ("warps", "stages")}
        options = {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}
        return sides | options | constants


@dataclass(frozen=True)
class MergeTile(Launch):
    """A program of the merge kernels: rows x columns of a weight, in steps of some ranks."""

    rows: int
    columns: int
    rank: int


@dataclass(frozen=True)
class PointwiseTile(Launch):
    """A program of the 1x1 convolution: tokens x outputs, in steps of some channels."""

    tokens: int
    outputs: int
    channels: int


@dataclass(frozen=True)
class DepthwiseTile(Launch):
    """A program of the depthwise convolution: rows x columns of pixels, some channels of them."""

    rows: int
    columns: int
    channels: int


@dataclass(frozen=True)
class AttentionTile(Launch):
    """A program of the attention's weights: outputs x channels of them."""

    outputs: int
    channels: int


@dataclass(frozen=True)
class LocalMeanTile(Launch):
    """A program of the local mean: how many windows it carries its sums along, how many of them side by side."""

    steps: int
    width: int


MERGE = MergeTile(rows=32, columns=128, rank=16, warps=8, stages=2)
GRAD_A = MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)
GRAD_B = MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)
DEPTHWISE = DepthwiseTile(rows=16, columns=16, channels=32, warps=4, stages=2)
LOCAL_MEAN = LocalMeanTile(steps=128, width=256, warps=4, stages=3)
ATTENTION = AttentionTile(outputs=64, channels=64, warps=4, stages=2)


@dataclass(frozen=True)
class PointwiseRow:
    """A row of the plan: the tile of storage up to ``itemsize`` bytes and at least ``tokens`` tokens an image."""

    itemsize: int
    gated: bool
    tokens: int
    tile: PointwiseTile


POINTWISE = (
    PointwiseRow(2, False, 8192, PointwiseTile(tokens=128, outputs=128, channels=64, warps=8, stages=3)),
    PointwiseRow(2, False, 0, PointwiseTile(tokens=64, outputs=128, channels=64, warps=4, stages=3)),
    PointwiseRow(2, True, 8192, PointwiseTile(tokens=128, outputs=64, channels=64, warps=8, stages=3)),
    PointwiseRow(2, True, 0, PointwiseTile(tokens=64, outputs=64, channels=64, warps=4, stages=3)),
    PointwiseRow(4, False, 0, PointwiseTile(tokens=64, outputs=64, channels=16, warps=4, stages=3)),
    PointwiseRow(4, True, 0, PointwiseTile(tokens=64, outputs=64, channels=16, warps=4, stages=3)),
)


def pointwise_tile(dtype: torch.dtype, gated: bool, tokens: int) -> PointwiseTile:
    """The tile of a 1x1 convolution over images of ``tokens`` pixels stored as ``dtype``."""
    rows = (r for r in POINTWISE if dtype.itemsize <= r.itemsize and gated == r.gated and tokens >= r.tokens)
    return next(rows).tile
