"""Checkpoint or bundle of ONNX graphs -> a bundle of TensorRT engines."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from lorair_export.bundle import Manifest, new_bundle, reject_existing
from lorair_export.graph import check_form
from lorair_export.pipeline.engines import able_here, add_engines, compare_engines, engine_record, runs_here
from lorair_export.pipeline.onnx import ignore_step, write_graphs
from lorair_export.pipeline.plan import ExportPlan, plan_from_bundle, plan_from_model, warn_of_small_window
from lorair_export.pipeline.shapes import check_graph, default_profiles, graph_spec_from_profiles, sides_taken
from lorair_export.pipeline.sources import BundleSource, CheckpointSource, photographs_or_own, source_from
from lorair_export.quantization import Calibration
from lorair_export.spec import GraphRequest, GraphSpec
from lorair_export.tensorrt import Backend, EngineSpec, Flavour, check_spec, checked_targets, find_tensorrt


def export_trt(
    source: str | Path,
    folder: str | Path,
    spec: EngineSpec | None = None,
    *,
    backend: Backend = "auto",
    precision: str | None = None,
    routing: str | None = None,
    lowering: str = "auto",
    io: str | None = None,
    photographs: Sequence[Path] | None = None,
    calibration: Calibration | None = None,
    clip_weights: Path | None = None,
    overwrite: bool = False,
    on_step: Callable[[str], None] = ignore_step,
    progress: Progress | None = None,
) -> Manifest:
    """Export a checkpoint as a bundle of TensorRT engines, with the ONNX graphs that they were built from.

    TensorRT-RTX (`backend="rtx"`) builds ahead of time, without a GPU; classic TensorRT builds for the GPU of this
    machine. The bundle appears only if ONNX Runtime restores the photographs with the graphs as the checkpoint does,
    and so do the engines where a GPU that they were built for is there.

    Example:
        >>> from lorair_export import EngineSpec, Profile, export_trt
        >>> tile = (1, 3, 64, 64)  # images, channels, height, width
        >>> manifest = export_trt("best.pt", "best-trt", EngineSpec((Profile(tile, tile, tile),)), backend="rtx")
        >>> manifest.engine.compute_capabilities
        ('8.6', '8.9', '12.0')
        >>> manifest.graphs[0].file.startswith("model.fp32.rtx")
        True

    On a GPU that the engine was built for, `lorair restore photo.jpg --model best-trt` runs it.

    Args:
        source: a checkpoint, `default` for the model inside the package, or a bundle that `export_onnx` made.
        folder: the bundle to make; its parents are made too.
        spec: image shapes (profiles), target GPUs and options of the build. None, or one without profiles, takes one
            image of 64 to 512 pixels a side, or the one shape of a bundle's graph. `spec.precision` is set by the
            export.
        backend: `tensorrt`, `rtx`, or `auto`: classic TensorRT where torch sees a GPU.
        precision: what the restorer computes in: `fp32`, `fp16`, `bf16`, `int8` or `fp8`.
        routing: `graph`, `split`, `experts` or `pinned:DEGRADATION`.
        lowering: how experts are represented in the graph: `merged`, `low-rank`, or `auto` by routing and batch.
        io: images as `float32` in [0, 1] or `uint8` in 0..255. For these three None means `fp32`, `graph` and
            `float32`, and for a bundle what its graph has.
        photographs: image files to compare on; None for the package's own, empty for no comparison.
        calibration: how to quantise in 8 bits; None for the package's photographs.
        clip_weights: local file of the CLIP weights that the checkpoint refers to.
        overwrite: replace a bundle that exists.
        on_step: called with a line of text as each step begins.
        progress: shows the phases of a build.

    Returns:
        What `manifest.json` holds: the engines with their shapes, how they were built, the accuracy that was
        measured.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ValueError: options contradict each other, or the model or the bundle's graph does not allow them.
        RuntimeUnavailableError: TensorRT, a GPU that it needs, or a package of the `export` extra is missing.
        ExportError: the folder exists, the source is damaged, or a graph cannot be made in the precision.
        BuildError: TensorRT cannot build the engine.
        ParityError: graphs or engines do not restore what the source restores; nothing is left behind.
    """
    request = GraphRequest(lowering, precision, routing, io)
    job = prepare_trt(source, Path(folder), spec, request, backend, clip_weights, overwrite)
    return job.run(photographs, calibration, on_step, progress)


@dataclass(frozen=True)
class EngineExport:
    """An export of engines whose options are checked and that has not begun.

    `graph_spec` says what graphs to make of a checkpoint, None for a bundle's; `choices` are lines that say what
    was chosen and why.
    """

    source: CheckpointSource | BundleSource
    folder: Path
    flavour: Flavour
    spec: EngineSpec
    graph_spec: GraphSpec | None
    choices: tuple[str, ...]
    overwrite: bool = False

    def plan(self) -> ExportPlan:
        """What `run` would write; the target of classic TensorRT is the GPU that is there then."""
        self._check()
        if isinstance(self.source, BundleSource):
            plan = plan_from_bundle(self.source)
        else:
            assert self.graph_spec is not None
            plan = plan_from_model(self.source.model, self.graph_spec)
        targets = checked_targets(self.flavour, self.spec.compute_capabilities, self.spec.precision)
        engine = engine_record(self.flavour, self.spec, targets)
        return replace(plan, profiles=self.spec.profiles, engine=engine)

    def run(
        self,
        photographs: Sequence[Path] | None = None,
        calibration: Calibration | None = None,
        on_step: Callable[[str], None] = ignore_step,
        progress: Progress | None = None,
    ) -> Manifest:
        """Write the bundle, as `export_trt` describes it."""
        if not self.flavour.compute_capabilities:
            able_here(self.spec.precision)  # an error now, not after minutes of exporting
        self._check()
        with new_bundle(self.folder, self.overwrite) as folder:
            manifest = self._graphs_in(folder, photographs, calibration, on_step)
            on_step(f"building with TensorRT {self.flavour.version}")
            manifest = add_engines(folder, manifest, self.flavour, self.spec, progress)
            photographs = photographs_or_own(photographs)
            if photographs and runs_here(manifest):
                on_step("comparing the engine with its model")
                manifest = compare_engines(folder, manifest, self.flavour, self.source.reference, photographs)
        return manifest

    def _check(self) -> None:
        reject_existing(self.folder, self.overwrite)
        if isinstance(self.source, CheckpointSource) and self.graph_spec is not None:
            check_form(self.source.model, self.graph_spec)
        warn_of_small_window(self.source.local_window, sides_taken(self.spec.profiles)[1], self.folder)

    def _graphs_in(
        self,
        folder: Path,
        photographs: Sequence[Path] | None,
        calibration: Calibration | None,
        on_step: Callable[[str], None],
    ) -> Manifest:
        """Fill the folder with the graphs: exported from a checkpoint, or copied from a bundle."""
        if isinstance(self.source, CheckpointSource):
            assert self.graph_spec is not None
            return write_graphs(self.source, folder, self.graph_spec, photographs, calibration, on_step)
        on_step("copying the graph")
        shutil.copytree(self.source.folder, folder, dirs_exist_ok=True)
        return self.source.manifest


def prepare_trt(
    source: str | Path,
    folder: Path,
    spec: EngineSpec | None = None,
    request: GraphRequest | None = None,
    backend: Backend = "auto",
    clip_weights: Path | None = None,
    overwrite: bool = False,
) -> EngineExport:
    """Open the source and check all options against it and the installed TensorRT; see `export_trt`."""
    request = request or GraphRequest()
    opened = source_from(source, clip_weights)
    manifest = opened.manifest if isinstance(opened, BundleSource) else None
    spec = spec or EngineSpec()
    spec = replace(
        spec,
        profiles=spec.profiles or default_profiles(manifest),
        name=spec.name or f"lorair {Path(source).stem}",
        precision=request.precision or (manifest.precision if manifest else "fp32"),
    )
    flavour = find_tensorrt(backend)
    check_spec(flavour, spec)
    sides_taken(spec.profiles)
    if isinstance(opened, BundleSource):
        check_graph(opened.folder, opened.manifest, spec.profiles, request)
        graph_spec, choices = None, (f"lowering: {opened.manifest.lowering}, as in {source}",)
    else:
        graph_spec, choices = graph_spec_from_profiles(spec.profiles, request)
    return EngineExport(opened, folder, flavour, spec, graph_spec, choices, overwrite)
