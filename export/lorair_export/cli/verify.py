"""The command `lorair-export verify`."""

from typing import Annotated

import typer

from lorair_export.cli.output import Json, LogFile, Quiet, opened_output
from lorair_export.cli.photos import PhotosOption, photographs_in


def verify(
    bundle: Annotated[str, typer.Argument(help="What to check: bundle, checkpoint or server address.")],
    model: Annotated[str, typer.Option("--model", "-m", "--ckpt", help="What it is compared with.")] = "default",
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; the model itself runs on the CPU.")] = "auto",
    photos: PhotosOption = None,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Restore photographs by a bundle and by a model, at three sizes, and end with 6 where they differ.

    Exit codes: 0 the same, 1 no such checkpoint, 2 wrong usage, 3 a package or device is missing, 4 damaged, 6 outputs
    differ.
    """
    from lorair_export.pipeline import verify as compared

    with opened_output(quiet, json, log_file) as out:
        found = compared(bundle, model, photographs=photographs_in(photos), batch=batch, device=device)
        lines = [
            f"{record.height}x{record.width} {', '.join(record.photographs)}: {record.psnr_db:.1f} dB, at most "
            f"{record.max_levels:.2f} of 255, gates off by {record.gates_difference:.1e}"
            for record in found.records
        ]
        out.give(found, lines)
        found.check()
        named, required = f" as {found.pinned}" if found.pinned else "", found.tolerance.psnr_db
        out.say(f"{bundle} restores what {model} restores{named}: {found.precision} requires {required:g} dB")
