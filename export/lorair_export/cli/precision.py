"""What the export commands share of precision: how to quantise, and what to tell of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest
    from lorair_export.quantization import Calibration

CalibDataOption = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="Photographs to quantise on, as they are; by default our own."),
]
CalibSizeOption = Annotated[int | None, typer.Option(min=1, help="How many of them; by default 32.")]
KeepOption = Annotated[str, typer.Option(metavar="REGEX", help="Convolutions to keep in float32, by node name.")]


def calibration_from(precision: str | None, folder: Path | None, size: int | None, keep_fp32: str) -> "Calibration":
    """How to quantise by the options; ValueError where one is wrong, or nothing is quantised in the precision.

    ``precision`` is None where a graph is taken as it is, ``size`` for the usual one.
    """
    from lorair_export.quantization import Calibration
    from lorair_export.spec import PRECISIONS

    if (folder or size or keep_fp32) and not (precision and PRECISIONS[precision].eight_bit):
        raise ValueError(
            "--calib-data, --calib-size and --keep-fp32 go with --precision int8 or fp8 and a checkpoint; "
            "here nothing is quantised"
        )
    return Calibration(folder, size or Calibration.size, keep_fp32)


def precision_lines(manifest: "Manifest") -> Iterator[str]:
    """What part of each restorer takes the precision, what was kept in float32, and what it was checked with."""
    numerics = manifest.numerics
    if numerics is None:
        return
    for name, shares in numerics.convolutions.items():
        parts = ", ".join(f"{share:.0%} {precision}" for precision, share in shares.items())
        yield f"precision of {name}: {parts} of multiplications, {numerics.weights_mib[name]:.1f} MiB of weights"
    if numerics.quantized is not None:
        keep = numerics.quantized.keep_fp32
        named = [f"what --keep-fp32 {keep!r} names"] if keep else []
        for name, blocks in numerics.quantized.kept.items():
            kept = ", ".join(["the first and last convolution", "what runs on the prior", *named, *blocks])
            yield f"kept in float32 in {name}: {kept}"
    if manifest.parity and manifest.precision == "bf16":
        yield f"accuracy was measured by {numerics.checked_by}"
