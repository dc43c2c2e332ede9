"""What the export commands share of shapes: the shorthands --imgsz, --batch and --tile."""

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


def window_note(local_window: int | None, largest: int) -> list[str]:
    """A line where images are smaller than the window that the channel attention averages over."""
    if local_window is None or largest >= local_window:
        return []
    return [
        f"note: channel attention averages over {local_window} pixels, images here have at most {largest}; a larger "
        "image restored in such tiles differs from one restored whole"
    ]
