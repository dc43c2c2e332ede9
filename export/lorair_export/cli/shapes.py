"""What the export commands share of shapes: the shorthands --imgsz, --batch and --tile."""

from pathlib import Path
from typing import Annotated

import typer

ImageSizeOption = Annotated[str | None, typer.Option(metavar="H[,W]", help="Fix the images' height and width.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Exactly so many images per call.")]
TileOption = Annotated[int | None, typer.Option(min=2, help="Fix the size to tiles of this side, and the batch.")]


def fixed_shape(imgsz: str | None, tile: int | None) -> tuple[int, int] | None:
    """The height and width that --imgsz or --tile fixes, None where neither is given; ValueError for both."""
    if imgsz is None:
        return None if tile is None else (tile, tile)
    sides = imgsz.split(",")
    if tile is not None or len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise ValueError(f"--imgsz is H or H,W in pixels and goes without --tile; got {imgsz!r}")
    return int(sides[0]), int(sides[-1])


def free_sizes(min_size: int | None, max_size: int | None, shape: tuple[int, int] | None) -> tuple[int, int]:
    """The smallest and largest side, by default 16 and 4096; ValueError where a shape leaves no range."""
    if shape is not None and (min_size is not None or max_size is not None):
        raise ValueError("--min-size and --max-size are a range, and --imgsz and --tile fix the size; give one of them")
    return 16 if min_size is None else min_size, 4096 if max_size is None else max_size


def free_batch(max_batch: int | None, batch: int | None, tile: int | None) -> int:
    """The most images per call, by default 1; ValueError where --batch or --tile fixes how many."""
    if max_batch is not None and (batch is not None or tile is not None):
        raise ValueError("--max-batch leaves the batch free, and --batch and --tile fix it; give --batch for its size")
    return max_batch or batch or 1


def window_of(ckpt: str) -> int | None:
    """The window that a checkpoint's or a bundle's channel attention averages over, read from its configuration."""
    from lorair.checkpoints import read_checkpoint
    from lorair_export.bundle import MANIFEST, read_bundle

    if (Path(ckpt) / MANIFEST).is_file():
        return read_bundle(Path(ckpt)).local_window
    return read_checkpoint(ckpt).config.restorer.local_window


def window_note(local_window: int | None, largest: int) -> list[str]:
    """A line where images are smaller than the window that the channel attention averages over."""
    if local_window is None or largest >= local_window:
        return []
    return [
        f"note: channel attention averages over {local_window} pixels, images here have at most {largest}; a larger "
        "image restored in such tiles differs from one restored whole"
    ]
