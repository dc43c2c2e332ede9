"""What the export commands share of 8 bits: how to quantise."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from lorair_export.quantization import Calibration

EIGHT_BITS: Final = "int8 and fp8"

CalibDataOption = Annotated[
    Path | None,
    typer.Option(
        exists=True,
        file_okay=False,
        help="Photographs to calibrate on, as they are; default: the package's.",
        rich_help_panel=EIGHT_BITS,
    ),
]
CalibSizeOption = Annotated[
    int | None, typer.Option(min=1, help="How many images; default: 32.", rich_help_panel=EIGHT_BITS)
]
KeepOption = Annotated[
    str,
    typer.Option(metavar="REGEX", help="Convolutions to keep in float32, by node name.", rich_help_panel=EIGHT_BITS),
]


def calibration_from(precision: str | None, folder: Path | None, size: int | None, keep_fp32: str) -> "Calibration":
    """How to quantise by the options; ValueError where one is wrong, or nothing is quantised in the precision.

    `precision` is None where a graph is taken as it is, `size` for the usual one.
    """
    from lorair_export.quantization import Calibration
    from lorair_export.spec import PRECISIONS

    if (folder or size or keep_fp32) and not (precision and PRECISIONS[precision].eight_bit):
        raise ValueError(
            "--calib-data, --calib-size and --keep-fp32 go with --precision int8 or fp8 and a checkpoint; "
            "here nothing is quantised"
        )
    return Calibration(folder, size or Calibration.size, keep_fp32)
