"""The command `lorair-serve repo`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

BATCHES, LIMITS = "Tiles and batches", "Queue and limits"


class BackendChoice(StrEnum):
    """What runs a bundle's graph or engine: Triton's own backend for it, or lorair's runtime in Python."""

    auto = "auto"
    python = "python"


def repo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the repository.")],
    model: Annotated[str, typer.Option("--model", "--ckpt", "-m", help="Checkpoint or bundle folder.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a repository that exists.")] = False,
    backend: Annotated[
        BackendChoice, typer.Option(help="What runs a bundle: its own Triton backend, or lorair's runtime.")
    ] = BackendChoice.auto,
    tile: Annotated[int, typer.Option(min=64, help="Tile side in pixels.", rich_help_panel=BATCHES)] = 256,
    tile_overlap: Annotated[
        int, typer.Option(min=0, help="Pixels over which tiles blend.", rich_help_panel=BATCHES)
    ] = 32,
    max_batch: Annotated[int, typer.Option(min=1, help="Largest batch, in tiles.", rich_help_panel=BATCHES)] = 8,
    batch_delay_ms: Annotated[
        float, typer.Option(min=0, help="Longest time that a tile waits for others.", rich_help_panel=BATCHES)
    ] = 5,
    instances: Annotated[
        int | None,
        typer.Option(min=1, help="Restoring processes; default 1, on a CPU one per core.", rich_help_panel=BATCHES),
    ] = None,
    cache: Annotated[
        int, typer.Option(min=0, help="MiB of restored tiles kept, for equal tiles.", rich_help_panel=BATCHES)
    ] = 0,
    workers: Annotated[
        int, typer.Option(min=1, help="Images decoded, blended and encoded at a time.", rich_help_panel=LIMITS)
    ] = 16,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Length of the request queue; more are rejected.", rich_help_panel=LIMITS)
    ] = 256,
    max_wait: Annotated[
        float,
        typer.Option(min=0, help="Seconds in the queue after which an image is rejected.", rich_help_panel=LIMITS),
    ] = 60,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Most pixels of an image.", rich_help_panel=LIMITS)
    ] = 50_000_000,
    refresh: Annotated[
        float, typer.Option(min=0, help="Seconds until a stream is routed again.", rich_help_panel=LIMITS)
    ] = 1,
) -> None:
    """Write a model repository for tritonserver: router, restorer, and the model `lorair` that clients call.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package is missing, 4 damaged bundle or existing output.
    """
    from lorair_serving.repository import Service, write_repository

    service = Service(
        tile, tile_overlap, max_batch, batch_delay_ms, instances, workers, max_waiting, max_wait, max_pixels,
        refresh_s=refresh, cache_mib=cache, device=device,
    )  # fmt: skip
    write_repository(model, output, service, backend.value, overwrite)
    typer.echo(f"wrote {output}; next: lorair-serve up --repo {output}", err=True)
