"""The command `lorair-export doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lorair_export.cli.output import Json, print_json


def doctor(
    bundle: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Bundle that is to run here, or in the container.")
    ] = None,
    triton_tag: Annotated[
        str | None, typer.Option(help="Container of Triton by its tag, as 26.02: tell its TensorRT.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what this machine can build and run, and how to get what it lacks.

    Exit codes: 0 ok, 2 wrong usage or unknown tag, 3 the bundle does not run there, 4 damaged bundle.
    """
    from lorair.errors import RuntimeUnavailableError
    from lorair_export.inspection import misfits, parts, tensorrt_in

    found = parts()
    held = None if triton_tag is None else tensorrt_in(triton_tag)
    reasons = None if bundle is None else misfits(bundle, triton_tag)
    result = {
        "parts": [asdict(part) for part in found],
        "triton": None if held is None else {"tag": triton_tag, "tensorrt": held},
        "bundle": None if reasons is None else {"path": str(bundle), "runs": not reasons, "reasons": reasons},
    }
    if json:
        print_json(result)
    else:
        width = max(len(part.name) for part in found)
        for part in found:
            print(f"{part.name:<{width}}  {part.found or f'missing; {part.get}'}")
        if held is not None:
            print(f"Triton's container {triton_tag} holds TensorRT {held}")
    where = "here" if triton_tag is None else f"in Triton's container {triton_tag}"
    if reasons:
        raise RuntimeUnavailableError(f"{bundle} does not run {where}: {'; '.join(reasons)}")
    if reasons is not None and not json:
        print(f"{bundle} runs {where}")
