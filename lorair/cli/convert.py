"""The command `lorair convert`."""

from pathlib import Path
from typing import Annotated

import typer


def convert(
    restorer: Annotated[Path, typer.Option(help="The published restorer, such as setting1_ir.pth.")],
    router: Annotated[Path, typer.Option(help="The published router, such as setting1_router.pth.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write, .pt or .safetensors.")],
    degradations: Annotated[str | None, typer.Option(help="Class names in order, with commas.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Experts an image may use.")] = 1,
    window: Annotated[
        str, typer.Option(help="Pooling window in pixels, or global to reproduce published figures.")
    ] = "384",
    quick_gelu: Annotated[bool, typer.Option(help="The tower's activation: OpenAI's CLIP has QuickGELU.")] = True,
    priors_from: Annotated[
        Path | None,
        typer.Option(help="Folder with a folder of example images per degradation.", file_okay=False),
    ] = None,
    clip_reference: Annotated[
        str | None,
        typer.Option(help="Leave CLIP's weights out and name them instead, as open_clip MODEL/TAG."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
) -> None:
    """Convert a published pair of files into one checkpoint; nothing is downloaded.

    The files say every size. They do not say the mean prior of each degradation, which naming one by
    `lorair restore --degradation` needs: it is measured from example images with --priors-from.
    """
    from dataclasses import replace

    from lorair.checkpoints import convert as convert_pair
    from lorair.checkpoints import model_of, refer_to_clip, write_checkpoint
    from lorair.training import priors_of_folders

    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists; choose another name or give --overwrite")
    if window != "global" and not (window.isdigit() and int(window) > 0):
        raise ValueError(f"--window must be a positive number of pixels or 'global'; got {window!r}")
    names = tuple(name.strip() for name in degradations.split(",")) if degradations else None
    pixels = None if window == "global" else int(window)
    checkpoint = convert_pair(restorer, router, names, top_k, pixels, quick_gelu)
    if priors_from is not None:
        checkpoint = replace(checkpoint, mean_priors=priors_of_folders(model_of(checkpoint), priors_from))
    if clip_reference is not None:
        checkpoint = refer_to_clip(checkpoint, clip_reference)
    write_checkpoint(output, checkpoint)
    print(f"wrote {output} ({output.stat().st_size / 2**20:.1f} MiB): {', '.join(checkpoint.config.degradations)}")
    print(f"next: lorair restore PHOTO --model {output}")
