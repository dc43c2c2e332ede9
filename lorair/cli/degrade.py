"""The command `lorair degrade`."""

from pathlib import Path
from typing import Annotated

import typer


def degrade(
    inputs: Annotated[list[str], typer.Argument(help="Photographs, folders, or quoted patterns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder, or file for a single image or the sheet.")],
    kind: Annotated[str | None, typer.Option(help="Degradation to apply.")] = None,
    severity: Annotated[
        list[str] | None, typer.Option(help="Fix a parameter: NAME=VALUE, such as sigma=25; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random generator.")] = 0,
    sheet: Annotated[bool, typer.Option("--sheet", help="Write one image that shows every kind.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Degrade again where the output exists.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search subfolders too.")] = False,
) -> None:
    """Degrade clean photographs: noise, rain, haze, snow, low_light, jpeg, blur, raindrop, shadow or hole.

    Outputs are 8-bit PNG files, named like their inputs. The result depends only on the image, its name and the seed.
    --sheet shows each kind in a row of four examples, made from the first photograph.

    Exit codes: 0 all written, 2 wrong usage.
    """
    from rich.progress import track

    from lorair.degradations import contact_sheet, degrade_file, severity_from
    from lorair.images import Picture, write_image
    from lorair.inference import plan_jobs

    if sheet == (kind is not None):
        raise ValueError("give --kind, or --sheet to show all degradations")
    if sheet:
        photograph = plan_jobs(inputs, output.with_suffix(""), recursive)[0].source
        write_image(output, Picture(contact_sheet(photograph, seed)))
        return
    assert kind is not None
    fixed = severity_from(kind, severity or [])
    jobs = plan_jobs(inputs, output, recursive, extension="auto" if output.suffix else "png")
    for job in track(jobs, kind, transient=True):
        if overwrite or not job.target.exists():
            degrade_file(job.source, job.target, kind, seed, fixed)
