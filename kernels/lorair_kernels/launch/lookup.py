"""The tile of a launch: from the file of the GPU that it runs on, else from the plan."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from lorair_kernels.backend import interpreting
from lorair_kernels.launch.measured import gpu_file, read_rows
from lorair_kernels.launch.plan import TABLES
from lorair_kernels.launch.rows import Problem, Row, Table
from lorair_kernels.launch.tiles import TileT


def cdiv(length: int, step: int) -> int:
    """How many steps cover a length: the quotient rounded up."""
    return -(-length // step)


def find_tile(
    table: Table[TileT], x: Tensor, *, gated: bool = False, tokens: int = 0, channels: int = 0, ranks: int = 0
) -> TileT | None:
    """The tile of a launch on `x`, or None where no row fits its dtype, its GPU and these sizes.

    Under torch.compile and torch.export only the plan's rows count, because a trace cannot read files.
    """
    capability, own = (0, None) if torch.compiler.is_compiling() else gpu_rows(x.device)
    problem = Problem(x.dtype.itemsize, capability, gated, tokens, channels, ranks)
    rows = (*(own or {}).get(table.kernel, ()), *table.rows)
    return next((row.tile for row in rows if row.fits(problem)), None)


def tile_for(table: Table[TileT], x: Tensor, *, gated: bool = False, tokens: int = 0, channels: int = 0) -> TileT:
    """As `find_tile`, for a kernel that has a row for every size: ValueError where the dtype is too wide."""
    tile = find_tile(table, x, gated=gated, tokens=tokens, channels=channels)
    if tile is None:
        raise ValueError(f"{table.kernel} has no tile for {x.dtype} on {x.device}; use float16, bfloat16 or float32")
    return tile


def is_measured(device: torch.device) -> bool:
    """Whether a GPU has a launch file, even one without rows: the kernels were measured there and are worth using."""
    return gpu_rows(device)[1] is not None


@cache
def gpu_rows(device: torch.device) -> tuple[int, dict[str, tuple[Row[Any], ...]] | None]:
    """A GPU's capability and the rows of its launch file, read once; 0 and None on a CPU and in the interpreter."""
    if device.type != "cuda" or interpreting():
        return 0, None
    major, minor = torch.cuda.get_device_capability(device)
    file = gpu_file(torch.cuda.get_device_name(device))
    return 10 * major + minor, None if file is None else read_rows(file, TABLES)
