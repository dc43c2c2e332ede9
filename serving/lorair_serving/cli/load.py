"""The command `lorair-serve load`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lorair_serving.load import LoadReport
    from lorair_serving.repository import Service

ADDRESS = "127.0.0.1:8001"


def load(
    url: Annotated[str, typer.Option(help="The service's host and gRPC port.")] = ADDRESS,
    clients: Annotated[int | None, typer.Option(min=1, help="Clients that wait for each answer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Images a second, at random times.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 30,
    size: Annotated[list[str] | None, typer.Option(help="Height x width, as 256x384; repeatable.")] = None,
    photos: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of clean photographs; by default our own.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Checkpoint or bundle to run in this process after, with the same batches.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for load.json and load.png.")] = None,
    seed: Annotated[int, typer.Option(help="Of the images and their times.")] = 0,
) -> None:
    """Put load on a service and report latencies, errors, and where the server spent its time.

    Sixteen clients, unless --clients or --rate says otherwise, send photographs of mixed sizes and degradations.

    Exit codes: 0 every image was answered, 1 some were not, 2 wrong usage, 3 a package is missing, 7 no service.
    """
    import asyncio

    from lorair.images import list_images
    from lorair.photographs import examples
    from lorair_serving.client import AsyncClient
    from lorair_serving.load import Load, lines_of, payloads, record_of, run_load, write_report

    sizes = [size_from(text) for text in size or ("256x256", "384x512", "200x300")]
    paths = examples() if photos is None else list_images(photos)
    if not paths:
        raise ValueError(f"--photos {photos} holds no photographs")
    planned = Load(seconds, clients if clients or rate else 16, rate, seed)

    async def run() -> "tuple[LoadReport, list[bytes], Service]":
        async with AsyncClient(url) as client:
            served = await client.served()
            images = payloads(paths, sizes, served.degradations, seed)
            await client.restore(images[0])
            return await run_load(client, images, planned), images, served.service

    report, images, service = asyncio.run(run())
    peer = None if compare is None else peer_rate(compare, images, report, service)
    for line in lines_of(report, peer):
        typer.echo(line)
    if output is not None:
        for path in write_report(output, record_of(report, sizes, peer), report):
            typer.echo(f"wrote {path}", err=True)
    if report.errors:
        raise typer.Exit(1)


def peer_rate(model: str, images: list[bytes], report: "LoadReport", service: "Service") -> float:
    """Images per second of the model's runtime in this process, in the service's tiles and batches."""
    from lorair.images import decode_image
    from lorair.inference import open_runtime
    from lorair_serving.load import rate_in_process
    from lorair_serving.repository import RESTORER

    batch = round(report.accounts[RESTORER].mean_batch)
    pixels: list[Any] = [decode_image(image).pixels for image in images]
    return rate_in_process(open_runtime(model), pixels, service, batch, report.load.seconds)


def size_from(text: str) -> tuple[int, int]:
    """``256x384`` -> (256, 384), height and width; ValueError where it is no such text."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise ValueError(f"a size is height x width, as 256x384; got {text!r}")
    return int(sides[0]), int(sides[1])
