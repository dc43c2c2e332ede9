"""The tiles of each kernel by storage and size.

Chosen by arithmetic and by what compiles without spilling on every architecture (see `resources`), not by timing.
A GPU's launch file, whose rows were timed, overrides them (see `find_tile`).
"""

from typing import Any

from lorair_kernels.launch.rows import Row, Table
from lorair_kernels.launch.tiles import (
    AttentionTile,
    DepthwiseTile,
    FeedForwardTile,
    LocalMeanTile,
    LowrankTile,
    MergeTile,
    PointwiseTile,
    SumTile,
    WeightGradTile,
)

MERGE = Table("merge", (Row(MergeTile(rows=32, columns=128, rank=16, warps=8, stages=2)),))
GRAD_A = Table("merge_grad_a", (Row(MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)),))
GRAD_B = Table("merge_grad_b", (Row(MergeTile(rows=32, columns=32, rank=16, warps=4, stages=2)),))
DEPTHWISE = Table("depthwise_gate", (Row(DepthwiseTile(rows=16, columns=16, channels=32, warps=4, stages=2)),))
DEPTHWISE_GRAD = Table("depthwise_grad", (Row(DepthwiseTile(rows=8, columns=16, channels=32, warps=4, stages=2)),))
ATTENTION = Table("attention_weights", (Row(AttentionTile(outputs=64, channels=64, warps=4, stages=2)),))
LOCAL_MEAN = Table("local_mean", (Row(LocalMeanTile(steps=128, width=256, warps=4, stages=3)),))
GROUPED_SUM = Table("grouped_sum", (Row(SumTile(width=1024, warps=4, stages=3)),))
# Few channels make a weight of one tile: then only the parts fill the GPU.
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
