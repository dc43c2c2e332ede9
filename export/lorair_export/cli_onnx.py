"""The command `lorair-export onnx`."""

from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lorair_export.manifest import Manifest


class LoweringChoice(StrEnum):
    """How experts become graph operations; auto follows --max-batch."""

    auto = "auto"
    merged = "merged"
    low_rank = "low-rank"


class PrecisionChoice(StrEnum):
    """What the restorer computes in."""

    fp32 = "fp32"
    fp16 = "fp16"


def onnx(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")],
    ckpt: Annotated[str, typer.Option("--ckpt", "--model", "-m", help="Checkpoint.")] = "default",
    lowering: Annotated[LoweringChoice, typer.Option(help="What becomes of the experts.")] = LoweringChoice.auto,
    max_batch: Annotated[int, typer.Option(min=1, help="Most images per call.")] = 1,
    precision: Annotated[PrecisionChoice, typer.Option(help="The restorer's.")] = PrecisionChoice.fp32,
    opset: Annotated[int, typer.Option(min=18, max=22, help="ONNX operator set.")] = 20,
    min_size: Annotated[int, typer.Option(min=2, help="Smallest height and width in pixels.")] = 16,
    max_size: Annotated[int, typer.Option(min=2, help="Largest; equal to the smallest fixes the size.")] = 4096,
    photos: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder to check on; by default our own.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Compare with the checkpoint before keeping it.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that exists.")] = False,
    clip_weights: Annotated[Path | None, typer.Option(help="Local file of the CLIP weights.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Export a checkpoint as an ONNX graph: image in, restored image and gates out.

    The bundle appears only if ONNX Runtime restores the photographs as the checkpoint does, at three sizes.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package is missing, 4 no graph, 6 another result.
    """
    from rich.console import Console

    from lorair_export.bundle import bundle_from_checkpoint
    from lorair_export.lowering import chosen_lowering
    from lorair_export.onnx import GraphSpec

    console = Console(stderr=True, quiet=quiet)
    chosen, reason = chosen_lowering(lowering.value, max_batch)
    console.print(f"lowering: {chosen}, {reason}", highlight=False, soft_wrap=True)
    spec = GraphSpec(chosen, precision.value, opset, max_batch, min_size, max_size)
    began = perf_counter()
    with console.status("") as status:
        manifest = bundle_from_checkpoint(
            ckpt,
            output,
            spec,
            photographs_in(photos) if check else [],
            overwrite=overwrite,
            clip_weights=clip_weights,
            on_step=status.update,
        )
    for line in summary(output, manifest, perf_counter() - began):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def photographs_in(folder: Path | None) -> list[Path]:
    """The photographs of a folder, or those inside the package; ValueError where it has none."""
    from lorair.data import SUFFIXES
    from lorair.photographs import examples

    if folder is None:
        return examples()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ValueError(f"--photos {folder} holds no photographs ({', '.join(SUFFIXES)})")
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
    return [*lines, f"next: lorair restore photo.jpg --model {folder}"]
