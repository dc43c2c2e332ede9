"""The command `lorair-export trt`."""

import shutil
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from lorair_export.cli.onnx import ImageTypeChoice, LoweringChoice, PrecisionChoice, photographs_in, written
from lorair_export.cli.output import DryRun, Json, LogFile, Quiet, opened_output
from lorair_export.cli.precision import CalibDataOption, CalibSizeOption, KeepOption, calibration_from, precision_lines
from lorair_export.cli.shapes import BatchOption, ImageSizeOption, TileOption, fixed_shape, window_note, window_of

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest, Profile

DEFAULT_SHAPES = ("1x3x64x64", "1x3x256x256", "1x3x512x512")


class BackendChoice(StrEnum):
    """Which TensorRT builds: the classic one for the GPU at hand, or TensorRT-RTX ahead of time."""

    auto = "auto"
    tensorrt = "tensorrt"
    rtx = "rtx"


class HwCompatChoice(StrEnum):
    """On which GPUs a plan runs, as trtexec names it."""

    none = "none"
    ampere = "ampere+"
    same_cc = "same-cc"


def trt(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the bundle.")],
    ckpt: Annotated[
        str, typer.Option("--ckpt", "--model", "-m", help="Checkpoint, or the bundle of its graph.")
    ] = "default",
    backend: Annotated[BackendChoice, typer.Option(help="Which TensorRT builds.")] = BackendChoice.auto,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="GPU to build for, as 8.6; repeatable. TensorRT-RTX alone.")
    ] = None,
    min_shape: Annotated[list[str] | None, typer.Option(help="Smallest images; by default --opt-shape's.")] = None,
    opt_shape: Annotated[
        list[str] | None, typer.Option(help="Usual images, as 1x3x256x256; repeat for more profiles.")
    ] = None,
    max_shape: Annotated[list[str] | None, typer.Option(help="Largest; by default --opt-shape's.")] = None,
    imgsz: ImageSizeOption = None,
    batch: BatchOption = None,
    tile: TileOption = None,
    routing: Annotated[
        str | None, typer.Option(metavar="FORM", help="As of 'onnx'; by default graph, or the bundle's.")
    ] = None,
    lowering: Annotated[LoweringChoice, typer.Option(help="What becomes of the experts.")] = LoweringChoice.auto,
    precision: Annotated[
        PrecisionChoice | None, typer.Option(help="The restorer's; by default fp32, or the graph's.")
    ] = None,
    calib_data: CalibDataOption = None,
    calib_size: CalibSizeOption = None,
    keep_fp32: KeepOption = "",
    io: Annotated[
        ImageTypeChoice | None, typer.Option(help="Images in and out; by default float32, or the graph's.")
    ] = None,
    opt_level: Annotated[
        int | None, typer.Option(help="0 to 5, longer search for kernels. Classic TensorRT alone.")
    ] = None,
    workspace: Annotated[int | None, typer.Option(min=1, help="Most scratch memory in MiB.")] = None,
    hw_compat: Annotated[
        HwCompatChoice, typer.Option(help="GPUs to run on beside this machine's. Classic TensorRT alone.")
    ] = HwCompatChoice.none,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="A plan that later versions of TensorRT load too.")
    ] = False,
    refit: Annotated[bool, typer.Option("--refit", help="A plan whose weights can be changed.")] = False,
    strip_weights: Annotated[
        bool,
        typer.Option("--strip-weights", "--strip", help="A plan without weights; loading adds the graph's."),
    ] = False,
    timing_cache: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Kernel timings, read and written. Classic TensorRT alone."),
    ] = None,
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
    """Export a checkpoint as a TensorRT engine, with its ONNX graph beside it.

    The bundle appears only if ONNX Runtime restores the photographs with the graph as the checkpoint does, and
    so does the engine where a GPU of its compute capability is at hand. From the bundle of a graph (--ckpt BUNDLE)
    an engine is built without the checkpoint, on the machine of its GPU, say. Without shapes the engine takes one
    image of 64 to 512 pixels a side; larger ones are restored in tiles. One size alone (--opt-shape) takes a
    fraction of the GPU memory of a range.

    Exit codes: 0 ok, 1 no such checkpoint, 2 wrong usage, 3 a package or GPU is missing, 4 no graph, 5 no
    engine, 6 another result.
    """
    from lorair.inference import TorchRuntime
    from lorair_export.bundle import new_bundle, refuse_existing
    from lorair_export.pipeline import (
        able_here,
        add_engine,
        bundle_from_checkpoint,
        check_engine,
        checked_graph,
        graph_for,
        lines_of,
        planned,
        planned_of,
        runs_here,
        sides_taken,
    )
    from lorair_export.runtimes import OnnxRuntime
    from lorair_export.tensorrt import EngineOptions, EngineSpec, check_spec, checked_targets, find_tensorrt

    shape = fixed_shape(imgsz, tile)
    if (shape or batch) and (min_shape or opt_shape or max_shape):
        raise ValueError("--imgsz, --batch and --tile stand for shapes; give them or --min-, --opt- and --max-shape")
    if shape:
        opt_shape = [f"{batch or 1}x3x{shape[0]}x{shape[1]}"]
    elif not (batch or min_shape or opt_shape or max_shape):
        opt_shape = fixed_shapes_of(ckpt)
    profiles = profiles_from(min_shape or [], opt_shape or [], max_shape or [])
    if batch:
        profiles = tuple(with_batch(profile, batch) for profile in profiles)
    targets, name = tuple(compute_capability or ()), f"lorair {Path(ckpt).stem}"
    options = EngineOptions(hw_compat.value, version_compatible, refit, strip_weights, timing_cache)
    spec = EngineSpec(profiles, targets, opt_level, workspace, name, precision or precision_of(ckpt), options)
    flavour = find_tensorrt(backend.value)
    check_spec(flavour, spec)
    if not (flavour.compute_capabilities or dry_run):
        able_here(spec.precision)  # an error now, not after minutes of exporting
    largest = sides_taken(profiles)[1]
    photographs = photographs_in(photos, check)
    calibration = calibration_from(None if Path(ckpt).is_dir() else precision, calib_data, calib_size, keep_fp32)
    if Path(ckpt).is_dir():
        if clip_weights is not None:
            raise ValueError(f"--clip-weights goes with a checkpoint, and the graph in {ckpt} holds them; leave it out")
        asked = {"lowering": lowering.value, "precision": precision, "routing": routing, "io": io}
        chosen = checked_graph(Path(ckpt), profiles, asked)
        reason = f"as in {ckpt}"
        plan = partial(planned_of, Path(ckpt), chosen)
        make_graph = partial(copied, ckpt)
        reference = partial(OnnxRuntime.open, ckpt, "cpu")
    else:
        asked = (precision or PrecisionChoice.fp32, routing or "graph", io or ImageTypeChoice.float32)
        chosen, reason = graph_for(profiles, lowering.value, *asked)
        plan = partial(planned, ckpt, chosen, clip_weights)
        make_graph = partial(
            bundle_from_checkpoint,
            ckpt,
            spec=chosen,
            photographs=photographs,
            overwrite=True,
            clip_weights=clip_weights,
            calibration=calibration,
        )
        reference = partial(TorchRuntime.open, ckpt, "cpu", clip_weights)
    with opened_output(quiet, json, log_file) as out:
        out.say(f"lowering: {chosen.lowering}, {reason}")
        out.say(*window_note(window_of(ckpt), largest))
        if dry_run:
            refuse_existing(output, overwrite)
            targets = checked_targets(flavour, spec.compute_capabilities, spec.precision) or ("this GPU's",)
            told = {**plan(), "tensorrt": flavour.version, "compute_capabilities": [*targets]}
            told |= {"profiles": list(map(str, profiles)), **spec.facts()}
            out.give(told, lines_of(told))
            return
        began = perf_counter()
        with new_bundle(output, overwrite) as folder, out.progress() as progress:
            on_step = out.steps(progress)
            make_graph(folder, on_step=on_step)
            on_step(f"building with TensorRT {flavour.version}")
            manifest = add_engine(folder, flavour, spec, progress)
            if photographs and runs_here(manifest):
                on_step("comparing the engine with its model")
                manifest = check_engine(folder, reference(), photographs)
        seconds = perf_counter() - began
        out.give(written(output, manifest, seconds), summary(output, manifest, seconds))


def copied(bundle: str, folder: Path, on_step: Callable[[str], None]) -> None:
    """A graph's bundle as the beginning of an engine's."""
    on_step("copying the graph")
    shutil.copytree(bundle, folder, dirs_exist_ok=True)


def profiles_from(
    min_shapes: Sequence[str], opt_shapes: Sequence[str], max_shapes: Sequence[str]
) -> tuple["Profile", ...]:
    """Profiles of shapes written as 1x3x256x256; min and max default to opt, all three to DEFAULT_SHAPES.

    ValueError where a shape is no such text or the three are not as many.
    """
    from lorair_export.bundle import Profile

    if not (min_shapes or opt_shapes or max_shapes):
        min_shapes, opt_shapes, max_shapes = ([shape] for shape in DEFAULT_SHAPES)
    min_shapes, max_shapes = min_shapes or opt_shapes, max_shapes or opt_shapes
    if not len(min_shapes) == len(opt_shapes) == len(max_shapes):
        raise ValueError(
            "each profile has one --opt-shape and, unless it is of that size alone, one --min-shape and one "
            f"--max-shape; got {len(opt_shapes)}, {len(min_shapes)} and {len(max_shapes)}"
        )
    shapes = zip(min_shapes, opt_shapes, max_shapes, strict=True)
    return tuple(Profile(*map(shape_from, three)) for three in shapes)


def fixed_shapes_of(ckpt: str) -> list[str]:
    """The one shape of a bundle whose graph takes no other; none of other bundles and of checkpoints."""
    from lorair_export.bundle import read_bundle

    if not Path(ckpt).is_dir():
        return []
    graph = read_bundle(Path(ckpt)).graphs[-1]
    if graph.shape is None:
        return []
    batch = graph.inputs[0].shape[0]
    return ["x".join(map(str, (batch if isinstance(batch, int) else 1, 3, *graph.shape)))]


def precision_of(ckpt: str) -> str:
    """The precision of a bundle's graph; fp32 of a checkpoint, unless another is asked for."""
    from lorair_export.bundle import read_bundle

    return read_bundle(Path(ckpt)).precision if Path(ckpt).is_dir() else PrecisionChoice.fp32.value


def with_batch(profile: "Profile", batch: int) -> "Profile":
    """A profile of exactly so many images."""
    from lorair_export.bundle import Profile

    return Profile(*((batch, *shape[1:]) for shape in (profile.min, profile.opt, profile.max)))


def shape_from(text: str) -> tuple[int, int, int, int]:
    """``1x3x256x384`` -> (1, 3, 256, 384): images, channels, height, width."""
    sides = text.lower().split("x")
    if len(sides) != 4 or not all(side.isdecimal() for side in sides) or sides[1] != "3":
        raise ValueError(f"a shape is images x 3 x height x width, as 1x3x256x256; got {text!r}")
    batch, channels, height, width = map(int, sides)
    return batch, channels, height, width


def summary(folder: Path, manifest: "Manifest", seconds: float) -> list[str]:
    """What was written, for which GPUs and shapes, how right it is, and what to do with it."""
    from lorair_export.tensorrt import AMPERE

    engine = manifest.engine_record
    targets = ", ".join(engine.compute_capabilities)
    if engine.hw_compat == "ampere+":
        targets = f"{AMPERE} and above"
    lines: list[str] = []
    for graph in manifest.graphs:
        mebibytes = (folder / graph.file).stat().st_size / 2**20
        lines.append(f"wrote {folder / graph.file}: {mebibytes:.1f} MiB")
        for index, profile in enumerate(graph.profiles):
            memory = graph.activation_mib[index : index + 1]
            told = f", {memory[0]:.0f} MiB of GPU memory at its largest" if memory else ""
            lines.append(f"profile {profile}{told}")
    lines.append(f"built in {seconds:.0f} s, for compute capability {targets}")
    for what, records in (("graph", manifest.parity), ("engine", engine.parity)):
        worst = [record.psnr_db for record in records]
        lines.append(f"parity of the {what}: {f'{min(worst):.0f} dB or more' if worst else 'not checked'}")
    lines += precision_lines(manifest)
    return [*lines, f"next, on such a GPU: lorair restore photo.jpg --model {folder}"]
