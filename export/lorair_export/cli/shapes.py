"""What the export commands share of shapes: fixed ones, ranges, and an engine's profiles."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from lorair_export.bundle import Profile

RANGES, PROFILES = "Ranges of shapes", "Profiles"
DEFAULT_SIZES: Final = (16, 4096)

ImageSizeOption = Annotated[str | None, typer.Option(metavar="H[,W]", help="Fix the height and width of images.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Fix the number of images per call.")]
TileOption = Annotated[int | None, typer.Option(min=2, help="Fix the size to tiles of this side, and the batch.")]
MinSizeOption = Annotated[
    int | None, typer.Option(min=2, help="Smallest height and width; default: 16.", rich_help_panel=RANGES)
]
MaxSizeOption = Annotated[
    int | None, typer.Option(min=2, help="Largest height and width; default: 4096.", rich_help_panel=RANGES)
]
MaxBatchOption = Annotated[
    int | None, typer.Option(min=1, help="Most images per call; default: 1.", rich_help_panel=RANGES)
]
MinShapeOption = Annotated[
    list[str] | None, typer.Option(help="Smallest images; default: --opt-shape.", rich_help_panel=PROFILES)
]
OptShapeOption = Annotated[
    list[str] | None,
    typer.Option(help="Usual images, as 1x3x256x256; repeat for more profiles.", rich_help_panel=PROFILES),
]
MaxShapeOption = Annotated[
    list[str] | None, typer.Option(help="Largest images; default: --opt-shape.", rich_help_panel=PROFILES)
]


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
    low, high = DEFAULT_SIZES
    return low if min_size is None else min_size, high if max_size is None else max_size


def free_batch(max_batch: int | None, batch: int | None, tile: int | None) -> int:
    """The most images per call, by default 1; ValueError where --batch or --tile fixes how many."""
    if max_batch is not None and (batch is not None or tile is not None):
        raise ValueError("--max-batch leaves the batch free, and --batch and --tile fix it; give --batch for its size")
    return max_batch or batch or 1


def profiles_from(
    min_shapes: Sequence[str] | None = None,
    opt_shapes: Sequence[str] | None = None,
    max_shapes: Sequence[str] | None = None,
    shape: tuple[int, int] | None = None,
    batch: int | None = None,
) -> "tuple[Profile, ...]":
    """The profiles of --min-, --opt- and --max-shape, or of a fixed shape and batch; none where nothing is given.

    ValueError where a shape is not written as 1x3x256x256, there are not as many of the three, or both ways are used.
    """
    from lorair_export.bundle import Profile
    from lorair_export.pipeline import DEFAULT_PROFILE

    if shape is None and batch is None:
        return _named_profiles(min_shapes or [], opt_shapes or [], max_shapes or [])
    if min_shapes or opt_shapes or max_shapes:
        raise ValueError("--imgsz, --batch and --tile stand for shapes; give them or --min-, --opt- and --max-shape")
    images = batch or 1
    if shape is not None:
        return (Profile(*[(images, 3, *shape)] * 3),)
    return (Profile(*((images, *sizes[1:]) for sizes in DEFAULT_PROFILE.shapes)),)


def _named_profiles(
    min_shapes: Sequence[str], opt_shapes: Sequence[str], max_shapes: Sequence[str]
) -> "tuple[Profile, ...]":
    from lorair_export.bundle import Profile

    min_shapes, max_shapes = min_shapes or opt_shapes, max_shapes or opt_shapes
    if not len(min_shapes) == len(opt_shapes) == len(max_shapes):
        raise ValueError(
            "each profile has one --opt-shape and, unless it is of that one size, one --min-shape and one "
            f"--max-shape; got {len(opt_shapes)}, {len(min_shapes)} and {len(max_shapes)}"
        )
    shapes = zip(min_shapes, opt_shapes, max_shapes, strict=True)
    return tuple(Profile(*map(shape_from, three)) for three in shapes)


def shape_from(text: str) -> tuple[int, int, int, int]:
    """`1x3x256x384` -> (1, 3, 256, 384): images, channels, height, width."""
    sides = text.lower().split("x")
    if len(sides) != 4 or not all(side.isdecimal() for side in sides) or sides[1] != "3":
        raise ValueError(f"a shape is images x 3 x height x width, as 1x3x256x256; got {text!r}")
    batch, channels, height, width = map(int, sides)
    return batch, channels, height, width
