"""Rows measured on one GPU, from a JSON file named after it, such as `NVIDIA_H200.json`.

`configs/README.md` describes the format.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from lorair_kernels.launch.rows import Row, Table
from lorair_kernels.launch.tiles import TileT

SHIPPED = Path(__file__).parent / "configs"
FOLDER_VARIABLE = "LORAIR_LAUNCH_CONFIGS"


def gpu_file_name(gpu: str) -> str:
    """The name of a GPU's file, from torch's name for the GPU."""
    return gpu.replace(" ", "_").replace("/", "_") + ".json"


def gpu_file(gpu: str) -> Path | None:
    """A GPU's file, in the folder that LORAIR_LAUNCH_CONFIGS names or else shipped; None without one.

    Raises:
        ValueError: the variable names no folder.
    """
    name = gpu_file_name(gpu)
    folders = [SHIPPED]
    if own := os.environ.get(FOLDER_VARIABLE):
        if not Path(own).is_dir():
            raise ValueError(f"{FOLDER_VARIABLE} must name a folder of <GPU name>.json files; got {own!r}")
        folders.insert(0, Path(own))
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def read_rows(file: Path, tables: Mapping[str, Table[Any]]) -> dict[str, tuple[Row[Any], ...]]:
    """The rows of a file by kernel. ValueError names the file, the row and what is allowed there."""
    try:
        data = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file}: not JSON, {error}") from error
    _check(isinstance(data, dict), f"{file}", "an object of kernels, each with a list of rows", data)
    rows: dict[str, tuple[Row[Any], ...]] = {}
    for kernel, listed in data.items():
        _check(kernel in tables, f"{file}: the kernel", f"one of {', '.join(tables)}", kernel)
        _check(isinstance(listed, list), f"{file}: {kernel}", "a list of rows", listed)
        table = tables[kernel]
        rows[kernel] = tuple(_row(row, table, f"{file}: {kernel}[{i}]") for i, row in enumerate(listed))
    return rows


def _row(data: Any, table: Table[TileT], where: str) -> Row[TileT]:  # noqa: ANN401 (parsed JSON)
    tile_type = type(table.rows[0].tile)
    names = [field.name for field in fields(Row)]
    known = isinstance(data, dict) and "tile" in data and set(data) <= set(names)
    _check(known, where, f"an object with a tile and conditions of {', '.join(names[1:])}", data)
    sides = sorted(field.name for field in fields(tile_type))
    tile = data["tile"]
    _check(isinstance(tile, dict) and sorted(tile) == sides, f"{where}.tile", f"an object of {', '.join(sides)}", tile)
    for name, value in tile.items():
        if name == "stages":
            _check(type(value) is int and value > 0, f"{where}.tile.stages", "a whole number above 0", value)
        else:
            power = type(value) is int and value > 0 and value.bit_count() == 1
            _check(power, f"{where}.tile.{name}", "a power of two", value)
    conditions = {name: value for name, value in data.items() if name != "tile"}
    for name, value in conditions.items():
        if name == "gated":
            _check(type(value) is bool, f"{where}.gated", "true or false", value)
        elif name == "capability":
            pair = isinstance(value, list) and len(value) == 2 and all(type(v) is int for v in value)
            _check(pair, f"{where}.capability", "the lowest and the highest, such as [90, 119]", value)
            conditions[name] = tuple(value)
        else:
            _check(type(value) is int and value >= 0, f"{where}.{name}", "a whole number", value)
    if whole := table.covers:
        most = conditions.get(whole)
        _check(most is not None and most <= tile[whole], f"{where}.{whole}", f"at most the tile's, {tile[whole]}", most)
    return Row(tile_type(**tile), **conditions)


def _check(right: bool, where: str, allowed: str, got: object) -> None:
    if not right:
        raise ValueError(f"{where} must be {allowed}; got {got!r}")
