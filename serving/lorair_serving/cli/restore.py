"""The command `lorair-serve restore`."""

from pathlib import Path
from typing import Annotated

import typer


def restore(
    inputs: Annotated[list[str], typer.Argument(help="Image files, folders, or quoted patterns.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder, or file of one.")] = None,
    url: Annotated[str, typer.Option(help="The service's host and gRPC port.")] = "127.0.0.1:8001",
    degradation: Annotated[str | None, typer.Option(help="Its name, if you know it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Redo outputs that exist.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per file.")] = False,
) -> None:
    """Restore images by a service: `lorair restore --model triton://URL/lorair`, which knows more options.

    Exit codes: 0 all restored or skipped, 1 some files failed, 2 wrong usage, 3 a package is missing, 7 no service.
    """
    from lorair.cli.restore import restore as restore_by_runtime

    restore_by_runtime(
        inputs,
        output,
        model=f"triton://{url}/lorair",
        degradation=degradation,
        overwrite=overwrite,
        json=json,
    )
