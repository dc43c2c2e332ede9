"""The command `lorair-export verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lorair_export.cli.onnx import photographs_in
from lorair_export.cli.output import Json, LogFile, Quiet, opened_output


def verify(
    bundle: Annotated[str, typer.Argument(help="What is checked: bundle, checkpoint or server's address.")],
    model: Annotated[str, typer.Option("--model", "-m", "--ckpt", help="What is right.")] = "default",
    photos: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder to check on; by default our own.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N; the model itself runs on the CPU.")] = "auto",
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Restore photographs by a bundle and by a model, at three sizes, and end with 6 where they differ.

    Exit codes: 0 the same, 1 no such checkpoint, 2 wrong usage, 3 a package or device is missing, 4 damaged, 6 another
    result.
    """
    from lorair.inference import open_runtime
    from lorair_export.bundle import check, compare, tolerance_for
    from lorair_export.runtimes import BundleRuntime

    with opened_output(quiet, json, log_file) as out:
        photographs = photographs_in(photos)
        reference, runtime = open_runtime(model, "cpu"), open_runtime(bundle, device)
        precision = getattr(runtime, "precision", "fp32")
        pinned, sizes, io = None, (None,), "float32"
        if isinstance(runtime, BundleRuntime):
            graphs = runtime.manifest.graphs
            pinned, sizes, io = runtime.manifest.pinned, graphs[-1].compared_sizes, graphs[0].inputs[0].dtype
        tolerance = tolerance_for(precision, io)
        records = [record for size in sizes for record in compare(reference, runtime, photographs, batch, pinned, size)]
        lines = [
            f"{record.height}x{record.width} {', '.join(record.photographs)}: {record.psnr_db:.1f} dB, at most "
            f"{record.max_levels:.2f} of 255, gates off by {record.gates_difference:.1e}"
            for record in records
        ]
        result = {
            "bundle": bundle,
            "model": model,
            "runtime": runtime.name,
            "precision": precision,
            "tolerance": asdict(tolerance),
            "records": [asdict(record) for record in records],
        }
        out.give(result, lines)
        check(records, precision, io, "export the bundle from that model again")
        named = f" as {pinned}" if pinned else ""
        out.say(f"{bundle} restores what {model} restores{named}: {tolerance.psnr_db:g} dB asked of {precision}")
