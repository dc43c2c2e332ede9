"""Checkpoint -> a bundle of ONNX graphs that restore what the checkpoint restores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lorair_export.bundle import Manifest, check, compare, new_bundle, reject_existing, write_manifest
from lorair_export.graph import check_form, onnx_from_model
from lorair_export.pipeline.graph_manifest import manifest_from_graphs
from lorair_export.pipeline.plan import ExportPlan, plan_from_model, warn_of_small_window
from lorair_export.pipeline.sources import CheckpointSource, photographs_or_own
from lorair_export.quantization import Calibration, in_precision
from lorair_export.runtimes import OnnxRuntime
from lorair_export.spec import GraphSpec, graph_names


def ignore_step(step: str) -> None:
    """The default of `on_step`."""


def export_onnx(
    checkpoint: str | Path,
    folder: str | Path,
    spec: GraphSpec | None = None,
    *,
    photographs: Sequence[Path] | None = None,
    calibration: Calibration | None = None,
    clip_weights: Path | None = None,
    overwrite: bool = False,
    on_step: Callable[[str], None] = ignore_step,
) -> Manifest:
    """Export a checkpoint as a bundle of ONNX graphs.

    The bundle is a folder with the graphs and `manifest.json`. It appears only if ONNX Runtime restores the
    photographs on the CPU as the checkpoint does, at three sizes; see `TOLERANCES` for how closely.

    Example:
        >>> from lorair_export import GraphSpec, export_onnx
        >>> manifest = export_onnx("best.pt", "best-onnx", GraphSpec(shape=(64, 64)))
        >>> [tensor.name for tensor in manifest.graphs[0].outputs]
        ['restored', 'gates']
        >>> min(record.psnr_db for record in manifest.parity) > 80
        True

    Args:
        checkpoint: `*.pt`, `*.safetensors`, or `default` for the model inside the package.
        folder: the bundle to make; its parents are made too.
        spec: routing form, lowering, precision, sizes and batch of the graphs; None for one graph in float32 of one
            image of 16 to 4096 pixels a side.
        photographs: image files to compare on; None for the package's own, empty for no comparison.
        calibration: how to quantise in 8 bits; None for the package's photographs.
        clip_weights: local file of the CLIP weights that the checkpoint refers to.
        overwrite: replace a bundle that exists.
        on_step: called with a line of text as each step begins.

    Returns:
        What `manifest.json` holds: the graphs with their inputs, outputs and sizes, the accuracy that was measured.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ValueError: the model does not allow the routing form, or the calibration is wrong.
        ExportError: the folder exists, or a graph cannot be made in the precision.
        ParityError: the graphs do not restore what the checkpoint restores; nothing is left behind.
        RuntimeUnavailableError: a package of the `export` extra is missing.
    """
    job = OnnxExport(CheckpointSource(checkpoint, clip_weights), Path(folder), spec or GraphSpec(), overwrite)
    return job.run(photographs, calibration, on_step)


@dataclass(frozen=True)
class OnnxExport:
    """An ONNX export that has not begun: `plan` says what `run` would write."""

    source: CheckpointSource
    folder: Path
    spec: GraphSpec
    overwrite: bool = False

    def plan(self) -> ExportPlan:
        """See `export_onnx` for the errors that are known before tracing."""
        self._check()
        return plan_from_model(self.source.model, self.spec)

    def run(
        self,
        photographs: Sequence[Path] | None = None,
        calibration: Calibration | None = None,
        on_step: Callable[[str], None] = ignore_step,
    ) -> Manifest:
        """Write the bundle, as `export_onnx` describes it."""
        self._check()
        with new_bundle(self.folder, self.overwrite) as folder:
            return write_graphs(self.source, folder, self.spec, photographs, calibration, on_step)

    def _check(self) -> None:
        reject_existing(self.folder, self.overwrite)
        check_form(self.source.model, self.spec)
        warn_of_small_window(self.source.local_window, self.spec.size_range[1], self.folder)


def write_graphs(
    source: CheckpointSource,
    folder: Path,
    spec: GraphSpec,
    photographs: Sequence[Path] | None,
    calibration: Calibration | None,
    on_step: Callable[[str], None],
) -> Manifest:
    """Fill an empty folder with a checkpoint's graphs and their manifest; see `export_onnx`."""
    model = source.model
    for name in graph_names(spec.routing, model.degradations):
        on_step(f"exporting {name}.onnx")
        onnx_from_model(model, folder / f"{name}.onnx", spec, name)
    manifest = manifest_from_graphs(model, source.sha256, folder, spec)
    on_step(f"checking that the graphs are in {spec.precision}")
    manifest = in_precision(folder, manifest, calibration or Calibration())
    if photographs := photographs_or_own(photographs):
        on_step("comparing with the checkpoint")
        runtime, batch = OnnxRuntime(folder, manifest, "cpu"), min(2, spec.max_batch)
        records = compare(source.reference, runtime, photographs, batch, spec.pinned, spec.shape)
        check(records, spec.precision, spec.io)
        manifest = replace(manifest, parity=tuple(records))
    write_manifest(folder, manifest)
    return manifest
