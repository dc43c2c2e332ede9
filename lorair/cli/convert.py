"""The command `lorair convert`."""

from pathlib import Path
from typing import Annotated

import typer

UNSAID, CONTENT = "Not stored in the files", "Content of the checkpoint"


def convert(
    restorer: Annotated[Path, typer.Option(help="Published restorer, such as setting1_ir.pth.")],
    router: Annotated[Path, typer.Option(help="Published router, such as setting1_router.pth.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint to write, .pt or .safetensors.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
    degradations: Annotated[
        str | None, typer.Option(help="Names of the classes in order, separated by commas.", rich_help_panel=UNSAID)
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Experts an image may use.", rich_help_panel=UNSAID)] = 1,
    window: Annotated[
        str,
        typer.Option(
            help="Pooling window in pixels, or global to reproduce published figures.", rich_help_panel=UNSAID
        ),
    ] = "384",
    quick_gelu: Annotated[
        bool, typer.Option(help="QuickGELU in the tower, as in OpenAI's CLIP.", rich_help_panel=UNSAID)
    ] = True,
    priors_from: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Folder with one subfolder of example images per degradation; measures mean priors.",
            rich_help_panel=CONTENT,
        ),
    ] = None,
    clip_reference: Annotated[
        str | None,
        typer.Option(help="Store open_clip's MODEL/TAG instead of the CLIP weights.", rich_help_panel=CONTENT),
    ] = None,
) -> None:
    """Convert a published pair of files into one checkpoint. Nothing is downloaded.

    All sizes are read from the files. They hold no mean priors, which `lorair restore --degradation` needs;
    --priors-from measures them.
    """
    from dataclasses import replace

    from lorair.checkpoints import convert as convert_pair
    from lorair.checkpoints import model_of, refer_to_clip, write_checkpoint
    from lorair.training import priors_of_folders

    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists; choose another name or add --overwrite")
    names = tuple(name.strip() for name in degradations.split(",")) if degradations else None
    checkpoint = convert_pair(restorer, router, names, top_k, _pixels(window), quick_gelu)
    if priors_from is not None:
        checkpoint = replace(checkpoint, mean_priors=priors_of_folders(model_of(checkpoint), priors_from))
    if clip_reference is not None:
        checkpoint = refer_to_clip(checkpoint, clip_reference)
    write_checkpoint(output, checkpoint)
    print(f"wrote {output} ({output.stat().st_size / 2**20:.1f} MiB): {', '.join(checkpoint.config.degradations)}")
    print(f"next: lorair restore PHOTO --model {output}")


def _pixels(window: str) -> int | None:
    if window == "global":
        return None
    if not (window.isdigit() and int(window) > 0):
        raise ValueError(f"--window must be a positive number of pixels or 'global'; got {window!r}")
    return int(window)
