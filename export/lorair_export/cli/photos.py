"""What the export commands share of the accuracy check: on which photographs, and whether at all."""

from pathlib import Path
from typing import Annotated, Final

import typer

CHECK: Final = "Accuracy check"

PhotosOption = Annotated[
    Path | None,
    typer.Option(
        exists=True, file_okay=False, help="Photographs to check on; default: the package's.", rich_help_panel=CHECK
    ),
]
CheckOption = Annotated[
    bool, typer.Option("--check/--no-check", help="Compare with the source before keeping it.", rich_help_panel=CHECK)
]


def photographs_in(folder: Path | None, check: bool = True) -> list[Path]:
    """What to check on, none without `check`: a folder's photographs, or those inside the package.

    ValueError where the folder has none, or is named without `check`.
    """
    from lorair.images import FORMATS, list_images
    from lorair.photographs import examples

    if folder is not None and not check:
        raise ValueError("--photos is what to check on, and --no-check checks nothing; leave one of them out")
    if folder is None:
        return examples() if check else []
    paths = list_images(folder)
    if not paths:
        raise ValueError(f"--photos {folder} holds no photographs ({', '.join(FORMATS)})")
    return paths
