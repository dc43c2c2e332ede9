"""The command `lorair-serve repo`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class BackendChoice(StrEnum):
    """What runs a bundle's graph or engine: Triton's own backend for it, or lorair's runtime in Python."""

    auto = "auto"
    python = "python"


def repo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the repository.")],
    model: Annotated[str, typer.Option("--model", "--ckpt", "-m", help="Checkpoint or bundle folder.")] = "default",
    backend: Annotated[BackendChoice, typer.Option(help="What runs a bundle.")] = BackendChoice.auto,
    tile: Annotated[int, typer.Option(min=64, help="Pixels a side of the tiles that share batches.")] = 256,
    tile_overlap: Annotated[int, typer.Option(min=0, help="Pixels over which tiles blend.")] = 32,
    max_batch: Annotated[int, typer.Option(min=1, help="Most tiles at a time.")] = 8,
    batch_delay_ms: Annotated[float, typer.Option(min=0, help="How long a tile waits for others.")] = 5,
    instances: Annotated[
        int | None, typer.Option(min=1, help="Processes that restore; by default one, with --device cpu one per core.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Images decoded, blended and encoded at a time.")] = 16,
    max_waiting: Annotated[int, typer.Option(min=1, help="Most images that wait; more are refused.")] = 256,
    max_wait: Annotated[float, typer.Option(min=0, help="Seconds that an image may wait, then it is refused.")] = 60,
    max_pixels: Annotated[int, typer.Option(min=1, help="Most pixels of an image.")] = 50_000_000,
    refresh: Annotated[float, typer.Option(min=0, help="Seconds until a stream is routed anew.")] = 1,
    cache: Annotated[int, typer.Option(min=0, help="MiB that keep restored tiles, for tiles that come again.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a repository that exists.")] = False,
) -> None:
    """Write a model repository for tritonserver: router, restorer, and `lorair` in front of them.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package is missing, 4 damaged bundle or existing output.
    """
    from lorair_serving.repository import Service, write_repository

    service = Service(
        tile=tile,
        overlap=tile_overlap,
        max_batch=max_batch,
        batch_delay_ms=batch_delay_ms,
        instances=instances,
        workers=workers,
        max_waiting=max_waiting,
        max_wait_s=max_wait,
        max_pixels=max_pixels,
        refresh_s=refresh,
        cache_mib=cache,
        device=device,
    )
    write_repository(model, output, service, backend.value, overwrite)
    typer.echo(f"wrote {output}; next: lorair-serve up --repo {output}", err=True)
