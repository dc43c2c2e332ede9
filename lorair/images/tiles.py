"""Restoring large images by overlapping tiles that are blended without seams."""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

MapTiles = Callable[[Callable[[Any], Tensor], Iterable[Any]], Iterable[Tensor]]

MIN_TILE = 64
_TILE_STEP = 16
# Ramps are whole multiples of this, so that float32 holds weights, products of two, and their sums exactly.
_RAMP_STEP = 2.0**-12
_OUT_OF_MEMORY = (
    "out of memory",
    "out_of_memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad allocation",
    "bad_alloc",
    "alloc_failed",
)


def restore_tiled(
    restore: Callable[[Tensor], Tensor],
    image: Tensor,
    tile: int | None,
    overlap: int = 32,
    min_tile: int = MIN_TILE,
    report: Callable[[str], None] = warnings.warn,
    map_tiles: MapTiles = map,
) -> Tensor:
    """Restore an image by tiles; one that is not larger than a tile is restored whole.

    Where memory runs out, the image is restored again with tiles of half the side, and `report` is called with the
    reason.

    Args:
        restore: takes and gives a floating tensor `[1, 3, h, w]`, h and w at most `tile`.
        image: `[1, 3, H, W]` float32.
        tile: side in pixels, None to begin with the whole image.
        overlap: pixels over which neighbouring tiles blend.
        min_tile: the smallest side that running out of memory leads to.
        report: called with one sentence for each halving.
        map_tiles: applies `restore` to the tiles and gives the results in order, as `map` does one by one; an
            executor's `map` runs several at once.

    Returns:
        `[1, 3, H, W]` float32, on the image's device.

    Raises:
        ValueError: the overlap is negative or more than half a tile.
    """
    check_tiles(tile, overlap)
    longest = max(image.shape[-2:])
    tile = longest if tile is None else min(tile, longest)
    while True:
        try:
            return restore(image) if tile == longest else _blend(restore, image, tile, overlap, map_tiles)
        except Exception as error:
            smaller = tile // 2 // _TILE_STEP * _TILE_STEP
            if not is_out_of_memory(error) or smaller < max(min_tile, 2 * overlap):
                raise
            reason = str(error).strip().partition("\n")[0]
        report(f"out of memory at {tile} pixels a side, continued with tiles of {smaller} ({reason})")
        tile = smaller


def check_tiles(tile: int | None, overlap: int) -> None:
    """ValueError where the overlap is negative or over half a tile, beyond which work grows for nothing."""
    if overlap < 0 or (tile is not None and overlap > tile // 2):
        limit = "" if tile is None else f" and at most {tile // 2}, half a tile"
        raise ValueError(f"the tile overlap must be at least 0{limit}; got {overlap}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception of torch, ONNX Runtime or CUDA means that an allocation failed."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    message = str(error).lower()
    return any(sign in message for sign in _OUT_OF_MEMORY)


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where the fewest tiles begin along an axis, evenly spaced and sharing `overlap` pixels at least."""
    if length <= tile:
        return [0]
    last = math.ceil((length - tile) / (tile - overlap))
    return [round(index * (length - tile) / last) for index in range(last + 1)]


def tile_weights(length: int, tile: int, overlap: int) -> Tensor:
    """Weights [tiles, length] float32 along an axis, exactly 0 outside a tile, of sum exactly 1 everywhere.

    Tile i fades into tile i + 1 by half a cosine in the middle of what they share. With s_i rising from 0 to
    1 there, the weight of tile i is s_(i-1) - s_i: the sum telescopes, however many tiles meet at a pixel.
    """
    starts = torch.tensor(tile_starts(length, tile, overlap), dtype=torch.float64)
    middles = (starts[1:] + starts[:-1] + tile) / 2
    pixels = torch.arange(length, dtype=torch.float64) + 0.5
    rise = ((pixels - middles[:, None]) / max(overlap, 1) + 0.5).clamp(0, 1)
    steps = (0.5 - 0.5 * torch.cos(math.pi * rise)).div(_RAMP_STEP).round().mul(_RAMP_STEP)
    edges = torch.ones(1, length, dtype=torch.float64)
    return -torch.cat([edges, steps, 0 * edges]).diff(dim=0).float()


def _blend(restore: Callable[[Tensor], Tensor], image: Tensor, tile: int, overlap: int, map_tiles: MapTiles) -> Tensor:
    height, width = image.shape[-2:]
    rows, columns = tile_weights(height, tile, overlap), tile_weights(width, tile, overlap)
    places = [
        (slice(top, top + tile), slice(left, left + tile), row, column)
        for top, row in zip(tile_starts(height, tile, overlap), rows, strict=True)
        for left, column in zip(tile_starts(width, tile, overlap), columns, strict=True)
    ]
    parts = map_tiles(lambda place: restore(image[..., place[0], place[1]].contiguous()), places)
    blended = torch.zeros_like(image)
    for (down, across, row, column), part in zip(places, parts, strict=True):
        blended[..., down, across] += part.to(blended) * (row[down, None] * column[across]).to(blended)
    return blended
