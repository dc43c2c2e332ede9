"""Which tile each kernel runs with, by storage and size; the first row that fits wins.

Chosen by arithmetic and by what compiles without spilling on every architecture (see ``resources``), not by timing.
Rows that were timed on a GPU come before these from its own file (see ``launch``).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import interpreting
from lorair_kernels.launch import Case, Launch, Row, Table, TileT, config_file, read_rows


def cdiv(length: int, step: int) -> int:
    """How many steps cover a length."""
    return -(-length // step)


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
class FeedForwardTile(Launch):
    """A program of the feed-forward half: tokens with all their channels, in steps of some hidden ones."""

    tokens: int
    channels: int
    hidden: int


@dataclass(frozen=True)
class LowrankTile(Launch):
    """A program of the convolution with low-rank experts: tokens x outputs and ranks, in steps of some channels."""

    tokens: int
    outputs: int
    channels: int
    ranks: int


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


@dataclass(frozen=True)
class WeightGradTile(Launch):
    """A program of a weight's gradient: outputs x channels of it, over a part of the tokens in steps of some."""

    outputs: int
    channels: int
    tokens: int
    part: int


@dataclass(frozen=True)
class SumTile(Launch):
    """A program of the sums within sets: how many numbers side by side."""

    width: int


MERGE = Table("merge", (Row(MergeTile(rows=32, columns=128, rank=16, warps=8, stages=2)),))
GRAD_A = Table("merge_grad_a", (Row(MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)),))
GRAD_B = Table("merge_grad_b", (Row(MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)),))
DEPTHWISE = Table("depthwise_gate", (Row(DepthwiseTile(rows=16, columns=16, channels=32, warps=4, stages=2)),))
DEPTHWISE_GRAD = Table("depthwise_grad", (Row(DepthwiseTile(rows=8, columns=16, channels=32, warps=4, stages=2)),))
ATTENTION = Table("attention_weights", (Row(AttentionTile(outputs=64, channels=64, warps=4, stages=2)),))
LOCAL_MEAN = Table("local_mean", (Row(LocalMeanTile(steps=128, width=256, warps=4, stages=3)),))
GROUPED_SUM = Table("grouped_sum", (Row(SumTile(width=1024, warps=4, stages=3)),))
# Few channels make a weight of one tile: then the parts alone fill the GPU.
WEIGHT_GRAD = Table(
    "grouped_weight_grad",
    (
        Row(WeightGradTile(outputs=128, channels=64, tokens=64, part=2048, warps=8, stages=3), 2),
        Row(WeightGradTile(outputs=64, channels=64, tokens=16, part=2048, warps=4, stages=3)),
    ),
)
POINTWISE = Table(
    "pointwise",
    (
        Row(PointwiseTile(tokens=128, outputs=128, channels=64, warps=8, stages=3), 2, gated=False, tokens=8192),
        Row(PointwiseTile(tokens=64, outputs=128, channels=64, warps=4, stages=3), 2, gated=False),
        Row(PointwiseTile(tokens=128, outputs=64, channels=64, warps=8, stages=3), 2, gated=True, tokens=8192),
        Row(PointwiseTile(tokens=64, outputs=64, channels=64, warps=4, stages=3), 2, gated=True),
        Row(PointwiseTile(tokens=64, outputs=64, channels=16, warps=4, stages=3), gated=False),
        Row(PointwiseTile(tokens=64, outputs=32, channels=16, warps=4, stages=3), gated=True),
    ),
)

# In float32 a tile of more channels spills, or is so small that it reads the weights too often; there, and above 256
# channels, the half is two launches of the 1x1 convolution.
FEED_FORWARD = Table(
    "feed_forward",
    (
        Row(FeedForwardTile(tokens=64, channels=32, hidden=16, warps=4, stages=2), 2, channels=32),
        Row(FeedForwardTile(tokens=64, channels=64, hidden=16, warps=4, stages=2), 2, channels=64),
        Row(FeedForwardTile(tokens=64, channels=128, hidden=32, warps=8, stages=2), 2, channels=128),
        Row(FeedForwardTile(tokens=64, channels=256, hidden=32, warps=8, stages=2), 2, channels=256),
        Row(FeedForwardTile(tokens=32, channels=32, hidden=16, warps=4, stages=2), 4, channels=32),
        Row(FeedForwardTile(tokens=32, channels=64, hidden=16, warps=4, stages=2), 4, channels=64),
    ),
    covers="channels",
)
# More ranks than 64 are merged into the weights instead: the merge costs the same for any rank, these products do not.
GATED_LOWRANK = Table(
    "gated_lowrank",
    (
        Row(LowrankTile(tokens=128, outputs=128, channels=64, ranks=16, warps=8, stages=3), 2, tokens=8192, ranks=16),
        Row(LowrankTile(tokens=64, outputs=128, channels=64, ranks=16, warps=4, stages=3), 2, ranks=16),
        Row(LowrankTile(tokens=128, outputs=128, channels=64, ranks=32, warps=8, stages=3), 2, tokens=8192, ranks=32),
        Row(LowrankTile(tokens=64, outputs=128, channels=64, ranks=32, warps=8, stages=3), 2, ranks=32),
        Row(LowrankTile(tokens=128, outputs=64, channels=32, ranks=64, warps=8, stages=3), 2, tokens=8192, ranks=64),
        Row(LowrankTile(tokens=64, outputs=64, channels=32, ranks=64, warps=4, stages=3), 2, ranks=64),
        Row(LowrankTile(tokens=64, outputs=64, channels=16, ranks=16, warps=4, stages=3), 4, ranks=16),
        Row(LowrankTile(tokens=32, outputs=64, channels=16, ranks=32, warps=4, stages=2), 4, ranks=32),
        Row(LowrankTile(tokens=32, outputs=64, channels=16, ranks=64, warps=4, stages=3), 4, ranks=64),
    ),
    covers="ranks",
)

TABLES: dict[str, Table[Any]] = {
    table.kernel: table
    for table in (
        MERGE, GRAD_A, GRAD_B, DEPTHWISE, DEPTHWISE_GRAD, ATTENTION, LOCAL_MEAN, GROUPED_SUM, WEIGHT_GRAD,
        POINTWISE, FEED_FORWARD, GATED_LOWRANK,
    )
}  # fmt: skip


def find_tile(
    table: Table[TileT], x: Tensor, *, gated: bool = False, tokens: int = 0, channels: int = 0, ranks: int = 0
) -> TileT | None:
    """The tile of a launch on ``x``, or None where no row fits its dtype, its GPU and these sizes.

    What torch.compile and torch.export trace cannot read a file: it goes by the plan's own rows.
    """
    capability, own = (0, None) if torch.compiler.is_compiling() else _part(x.device)
    case = Case(x.dtype.itemsize, capability, gated, tokens, channels, ranks)
    rows = (*(own or {}).get(table.kernel, ()), *table.rows)
    return next((row.tile for row in rows if row.fits(case)), None)


def tile_for(table: Table[TileT], x: Tensor, *, gated: bool = False, tokens: int = 0, channels: int = 0) -> TileT:
    """As :func:`find_tile`, for a kernel that has a row for every size: ValueError where the dtype is too wide."""
    tile = find_tile(table, x, gated=gated, tokens=tokens, channels=channels)
    if tile is None:
        raise ValueError(f"{table.kernel} has no tile for {x.dtype} on {x.device}; use float16, bfloat16 or float32")
    return tile


def is_measured(device: torch.device) -> bool:
    """Whether a GPU has a file of its own, be it without rows: the kernels were found worth taking there."""
    return _part(device)[1] is not None


@cache
def _part(device: torch.device) -> tuple[int, dict[str, tuple[Row[Any], ...]] | None]:
    """A GPU's capability and the rows of its own file, read once; nothing of either for a CPU and the interpreter."""
    if device.type != "cuda" or interpreting():
        return 0, None
    major, minor = torch.cuda.get_device_capability(device)
    file = config_file(torch.cuda.get_device_name(device))
    return 10 * major + minor, None if file is None else read_rows(file, TABLES)
