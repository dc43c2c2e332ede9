"""The command `lorair-export doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from lorair.cli import print_json
from lorair_export.cli.output import Json


def doctor(
    bundle: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Bundle to check: does it run here?")
    ] = None,
    json: Json = False,
) -> None:
    """Print what this machine can build and run, and how to install what is missing.

    Exit codes: 0 ok, 2 wrong usage, 3 the bundle does not run here, 4 damaged bundle.
    """
    from lorair.errors import RuntimeUnavailableError
    from lorair_export.inspection import diagnose

    found = diagnose(bundle)
    if json:
        print_json(found)
    else:
        width = max(len(component.name) for component in found.components)
        for component in found.components:
            print(f"{component.name:<{width}}  {component.found or f'missing; {component.install}'}")
    if found.bundle is None:
        return
    if not found.bundle.runs:
        raise RuntimeUnavailableError(f"{bundle} does not run here: {'; '.join(found.bundle.reasons)}")
    if not json:
        print(f"{bundle} runs here")
