"""How each kernel is launched: the plan's tiles, and rows measured on one GPU that override them."""

from lorair_kernels.launch.lookup import cdiv, find_tile, is_measured, tile_for
from lorair_kernels.launch.measured import FOLDER_VARIABLE, SHIPPED, gpu_file, gpu_file_name
from lorair_kernels.launch.plan import (
    ATTENTION,
    DEPTHWISE,
    DEPTHWISE_GRAD,
    FEED_FORWARD,
    GATED_LOWRANK,
    GRAD_A,
    GRAD_B,
    GROUPED_SUM,
    LOCAL_MEAN,
    MERGE,
    POINTWISE,
    TABLES,
    WEIGHT_GRAD,
)
from lorair_kernels.launch.rows import Row, Table
from lorair_kernels.launch.tiles import MergeTile, Tile, TileT

__all__ = [
    "ATTENTION",
    "DEPTHWISE",
    "DEPTHWISE_GRAD",
    "FEED_FORWARD",
    "FOLDER_VARIABLE",
    "GATED_LOWRANK",
    "GRAD_A",
    "GRAD_B",
    "GROUPED_SUM",
    "LOCAL_MEAN",
    "MERGE",
    "POINTWISE",
    "SHIPPED",
    "TABLES",
    "WEIGHT_GRAD",
    "MergeTile",
    "Row",
    "Table",
    "Tile",
    "TileT",
    "cdiv",
    "find_tile",
    "gpu_file",
    "gpu_file_name",
    "is_measured",
    "tile_for",
]
