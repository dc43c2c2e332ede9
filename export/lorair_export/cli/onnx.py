"""The command `lorair-export onnx`."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lorair_export.cli.output import DryRun, Json, LogFile, Quiet, opened_output
from lorair_export.cli.precision import CalibDataOption, CalibSizeOption, KeepOption, calibration_from, precision_lines
from lorair_export.cli.shapes import (
    BatchOption,
    ImageSizeOption,
    TileOption,
    fixed_shape,
    free_batch,
    free_sizes,
    window_note,
    window_of,
)

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest


class LoweringChoice(StrEnum):
    """How experts become graph operations; auto follows --routing and the batch."""

    auto = "auto"
    merged = "merged"
    low_rank = "low-rank"


class PrecisionChoice(StrEnum):
    """What the restorer computes in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"
    fp8 = "fp8"


class ImageTypeChoice(StrEnum):
    """The images at the graph's border: in [0, 1], or in 0..255."""

    float32 = "float32"
    uint8 = "uint8"


def onnx(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")],
    ckpt: Annotated[str, typer.Option("--ckpt", "--model", "-m", help="Checkpoint.")] = "default",
    routing: Annotated[
        str, typer.Option(metavar="FORM", help="Who routes, where: graph, split, experts or pinned:DEGRADATION.")
    ] = "graph",
    lowering: Annotated[LoweringChoice, typer.Option(help="What becomes of the experts.")] = LoweringChoice.auto,
    max_batch: Annotated[int | None, typer.Option(min=1, help="Most images per call; by default 1.")] = None,
    precision: Annotated[PrecisionChoice, typer.Option(help="The restorer's.")] = PrecisionChoice.fp32,
    calib_data: CalibDataOption = None,
    calib_size: CalibSizeOption = None,
    keep_fp32: KeepOption = "",
    opset: Annotated[
        int | None, typer.Option(min=18, max=22, help="ONNX operator set; by default 20, 22 for bf16.")
    ] = None,
    min_size: Annotated[
        int | None, typer.Option(min=2, help="Smallest height and width in pixels; by default 16.")
    ] = None,
    max_size: Annotated[
        int | None, typer.Option(min=2, help="Largest, by default 4096; equal to the smallest fixes the size.")
    ] = None,
    imgsz: ImageSizeOption = None,
    batch: BatchOption = None,
    tile: TileOption = None,
    io: Annotated[ImageTypeChoice, typer.Option(help="Images in and out.")] = ImageTypeChoice.float32,
    photos: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder to check on; by default our own.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Compare with the checkpoint before keeping it.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that exists.")] = False,
    clip_weights: Annotated[Path | None, typer.Option(help="Local file of the CLIP weights.")] = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    json: Json = False,
    log_file: LogFile = None,
) -> None:
    """Export a checkpoint as ONNX: by default one graph, image in, restored image and gates out.

    --routing split makes a router and a restorer, experts a router and a plain network per degradation, and
    pinned:DEGRADATION the plain network of one. The bundle appears only if ONNX Runtime restores the photographs
    as the checkpoint does, at three sizes.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package is missing, 4 no graph, 6 another result.
    """
    from lorair_export.bundle import refuse_existing
    from lorair_export.pipeline import bundle_from_checkpoint, lines_of, planned
    from lorair_export.spec import GraphSpec, chosen_lowering, chosen_opset, routing_from

    form, pinned = routing_from(routing)
    images, shape = free_batch(max_batch, batch, tile), fixed_shape(imgsz, tile)
    calibration = calibration_from(precision, calib_data, calib_size, keep_fp32)
    chosen, reason = chosen_lowering(lowering.value, images, form, precision.value)
    version, raised = chosen_opset(opset, precision.value)
    spec = GraphSpec(
        chosen,
        precision.value,
        version,
        images,
        *free_sizes(min_size, max_size, shape),
        routing=form,
        pinned=pinned,
        shape=shape,
        fixed_batch=batch is not None or tile is not None,
        io=io.value,
    )
    with opened_output(quiet, json, log_file) as out:
        out.say(f"lowering: {chosen}, {reason}")
        if raised:
            out.say(f"opset: {version}, {raised}")
        photographs = photographs_in(photos, check)
        out.say(*window_note(window_of(ckpt), spec.size_range[1]))
        if dry_run:
            refuse_existing(output, overwrite)
            plan = planned(ckpt, spec, clip_weights)
            out.give(plan, lines_of(plan))
            return
        began = perf_counter()
        with out.progress() as progress:
            manifest = bundle_from_checkpoint(
                ckpt,
                output,
                spec,
                photographs,
                overwrite=overwrite,
                clip_weights=clip_weights,
                calibration=calibration,
                on_step=out.steps(progress),
            )
        seconds = perf_counter() - began
        out.give(written(output, manifest, seconds), summary(output, manifest, seconds))


def written(folder: Path, manifest: "Manifest", seconds: float) -> dict[str, Any]:
    """What a program is told of an export."""
    sizes = {str(folder / name): (folder / name).stat().st_size for name in manifest.files}
    return {"bundle": str(folder), "bytes": sizes, "seconds": round(seconds, 1), "manifest": asdict(manifest)}


def photographs_in(folder: Path | None, check: bool = True) -> list[Path]:
    """What to check on, none without ``check``: a folder's photographs, or those inside the package.

    ValueError where the folder has none, or is named without ``check``.
    """
    from lorair.images import FORMATS, list_images
    from lorair.photographs import examples

    if folder is not None and not check:
        raise ValueError("--photos is what to check on, and --no-check checks nothing; leave one of them out")
    if folder is None:
        return examples() if check else []
    paths = list_images(folder)
    if not paths:
        raise ValueError(f"--photos {folder} holds no photographs ({', '.join(FORMATS)})")
    return paths


def summary(folder: Path, manifest: "Manifest", seconds: float) -> list[str]:
    """What was written, how right it is, and what to do with it."""
    mebibytes = sum((folder / name).stat().st_size for name in manifest.files) / 2**20
    written = ", ".join(str(folder / graph.file) for graph in manifest.graphs)
    lines = [f"wrote {written}: {mebibytes:.1f} MiB in {seconds:.0f} s"]
    if manifest.parity:
        worst = min(record.psnr_db for record in manifest.parity)
        sizes = ", ".join(dict.fromkeys(f"{record.height}x{record.width}" for record in manifest.parity))
        lines.append(f"parity: {worst:.0f} dB or more with the checkpoint at {sizes}")
    else:
        lines.append("parity: not checked")
    lines += precision_lines(manifest)
    return [*lines, f"next: lorair restore photo.jpg --model {folder}"]
