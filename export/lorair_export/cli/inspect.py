"""The command `lorair-export inspect`."""

from pathlib import Path
from typing import Annotated

import typer

from lorair.cli import print_json
from lorair_export.cli.output import Json
from lorair_export.cli.sizes import parsed_size


def inspect(
    target: Annotated[Path, typer.Argument(help="Bundle folder or ONNX file.", exists=True)],
    size: Annotated[
        str, typer.Option(help="Image size, height x width, for which operations are counted.")
    ] = "256x256",
    layers: Annotated[int, typer.Option(min=0, help="Number of largest layers to print.")] = 5,
    json: Json = False,
) -> None:
    """Print inputs, outputs, operators and types of an artefact, and what TensorRT would reject.

    Layers of an engine are printed only on a GPU that can load it.

    Exit codes: 0 ok, 2 wrong usage, 3 a package is missing, 4 damaged or not ONNX.
    """
    from lorair_export.inspection import inspect_artifact, inspection_lines

    found = inspect_artifact(target, *parsed_size(size), layers)
    if json:
        print_json(found)
    else:
        print(*inspection_lines(found), sep="\n")
