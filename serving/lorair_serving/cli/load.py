"""The command `lorair-serve load`."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lorair.cli.console import print_json

if TYPE_CHECKING:
    from lorair_serving.load import Load, LoadReport
    from lorair_serving.repository import Service

IMAGES, REPORT = "Images", "Report"


def load(
    url: Annotated[str, typer.Option(help="The service's host and gRPC port.")] = "127.0.0.1:8001",
    clients: Annotated[int | None, typer.Option(min=1, help="Clients that wait for each answer.")] = None,
    rate: Annotated[float | None, typer.Option(help="Images per second at random times, instead of clients.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 30,
    size: Annotated[
        list[str] | None, typer.Option(help="Height x width, as 256x384; repeatable.", rich_help_panel=IMAGES)
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of clean photographs; default: bundled.", rich_help_panel=IMAGES
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the images' order and times.", rich_help_panel=IMAGES)] = 0,
    compare: Annotated[
        str | None,
        typer.Option(help="Checkpoint or bundle to measure without the service, too.", rich_help_panel=REPORT),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for load.json and load.png.", rich_help_panel=REPORT)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.", rich_help_panel=REPORT)] = False,
) -> None:
    """Put load on a service; report latencies, errors, and where the server spent its time.

    Sends photographs of mixed sizes and degradations, by default from 16 clients.

    Exit codes: 0 every image was answered, 1 some were not, 2 wrong usage, 3 a package is missing, 7 no service.
    """
    from lorair_serving.load import Load, lines_of, record_of, write_report

    sizes = [size_from(text) for text in size or ("256x256", "384x512", "200x300")]
    planned = Load(seconds, clients if clients or rate else 16, rate, seed)
    report, images, service = asyncio.run(_send(url, photographs_in(photos), sizes, planned))
    peer = None if compare is None else _peer_rate(compare, images, report, service)
    record = record_of(report, sizes, peer)
    if json:
        print_json(record)
    else:
        typer.echo("\n".join(lines_of(record)))
    if output is not None:
        for path in write_report(output, record):
            typer.echo(f"wrote {path}", err=True)
    if report.errors:
        raise typer.Exit(1)


def photographs_in(folder: Path | None) -> list[Path]:
    """The photographs in a folder, None for the bundled ones; ValueError where it holds none."""
    from lorair.images import list_images
    from lorair.photographs import examples

    paths = examples() if folder is None else list_images(folder)
    if not paths:
        raise ValueError(f"--photos {folder} holds no photographs")
    return paths


def size_from(text: str) -> tuple[int, int]:
    """``256x384`` -> (256, 384), height and width; ValueError where it is no such text."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise ValueError(f"a size is height x width, as 256x384; got {text!r}")
    return int(sides[0]), int(sides[1])


async def _send(
    url: str, paths: list[Path], sizes: list[tuple[int, int]], planned: "Load"
) -> "tuple[LoadReport, list[bytes], Service]":
    from lorair_serving.client import AsyncClient
    from lorair_serving.load import payloads, run_load

    async with AsyncClient(url) as client:
        served = await client.served()
        images = payloads(paths, sizes, served.degradations, planned.seed)
        await client.restore(images[0])
        return await run_load(client, images, planned), images, served.service


def _peer_rate(model: str, images: list[bytes], report: "LoadReport", service: "Service") -> float:
    """Images per second of the model's runtime in this process, in the service's tiles and batches."""
    from lorair.images import decode_image
    from lorair.inference import open_runtime
    from lorair_serving.load import rate_in_process
    from lorair_serving.repository import RESTORER

    batch = max(1, round(report.counters[RESTORER].mean_batch))
    pixels = [decode_image(image).pixels for image in images]
    return rate_in_process(open_runtime(model), pixels, service, batch, report.load.seconds)
