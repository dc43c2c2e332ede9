"""The precision of a bundle's restorers: quantised where it is 8 bits, and measured in all others."""

import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lorair_export.bundle import (
    MANIFEST,
    TOLERANCES,
    Graph,
    Manifest,
    Numerics,
    QuantizationRecord,
    file_sha256,
    new_bundle,
    read_bundle,
    write_manifest,
)
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph import Feed, check_file, checked_shares, save_graph, weight_mib
from lorair_export.quantization.calibration import Calibration, calibration_images
from lorair_export.quantization.quantize import Quantised, quantised
from lorair_export.runtimes import OnnxRuntime
from lorair_export.spec import PRECISIONS, ROUTER, RoutingForm, expert_graph

# Parity is measured on other photographs than calibration, and must pass there too.
MARGIN_DB = 3.0
SIDE = 192


class RecordingRuntime(OnnxRuntime):
    """Keeps what each graph was called with."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        super().__init__(folder, replace(manifest, precision="fp32"), "cpu")
        self.feeds: defaultdict[str, list[Feed]] = defaultdict(list)

    def run(self, graph: Graph, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.feeds[graph.name].append({name: tensor.cpu().numpy() for name, tensor in inputs.items()})
        return super().run(graph, inputs)


def in_precision(folder: Path, manifest: Manifest, calibration: Calibration) -> Manifest:
    """Quantise a bundle's restorers where its precision is 8 bits, and measure the precision of every one.

    Returns:
        The manifest with the files' new hashes and `numerics`.

    Raises:
        ExportError: a graph cannot be quantised, does not pass ONNX's checker then, or is not in the precision.
    """
    precision = manifest.precision
    quantized = _quantise(folder, manifest, calibration) if PRECISIONS[precision].eight_bit else None
    restorers = {
        graph.name: require("onnx").load(folder / graph.file) for graph in manifest.graphs if graph.name != ROUTER
    }
    shares = {name: checked_shares(model, precision) for name, model in restorers.items()}
    numerics = Numerics(
        convolutions={name: {kind: round(part, 4) for kind, part in parts.items()} for name, parts in shares.items()},
        weights_mib={name: round(weight_mib(model), 2) for name, model in restorers.items()},
        checked_by=checked_by(precision),
        quantized=quantized,
    )
    files = {path.name: file_sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    return replace(manifest, files=files, numerics=numerics)


def bundle_in_8_bits(source: Path, target: Path, precision: str, calibration: Calibration) -> Manifest:
    """Write the bundle `target`, replacing it: the float32 graphs of `source`, their restorers quantised.

    The result is not compared with a checkpoint.
    """
    with new_bundle(target, overwrite=True) as folder:
        manifest = read_bundle(source)
        for name in manifest.files:
            shutil.copy2(source / name, folder / name)
        manifest = in_precision(folder, replace(manifest, precision=precision, parity=()), calibration)
        write_manifest(folder, manifest)
    return manifest


def checked_by(precision: str) -> str:
    """What computes a graph of that precision where no GPU is at hand, in words."""
    if precision == "bf16":
        return "ONNX Runtime on the CPU, in float32 with every result rounded to bfloat16"
    return "ONNX Runtime on the CPU"


def _quantise(folder: Path, manifest: Manifest, calibration: Calibration) -> QuantizationRecord:
    number = PRECISIONS[manifest.precision].eight_bit
    assert number is not None
    recorded = recorded_feeds(folder, manifest, calibration)
    target = TOLERANCES[manifest.precision].psnr_db + MARGIN_DB
    results: dict[str, Quantised] = {}
    for graph in manifest.graphs:
        if graph.name != ROUTER:
            path = folder / graph.file
            model = require("onnx").load(path)
            results[graph.name] = quantised(model, recorded[graph.name], number, calibration.keep_fp32, target)
            save_graph(results[graph.name].model, path)
            check_file(path)
    return QuantizationRecord(
        images=calibration.images,
        keep_fp32=calibration.keep_fp32,
        kept={name: result.kept for name, result in results.items()},
        psnr_db={name: round(result.psnr_db, 1) for name, result in results.items()},
    )


def recorded_feeds(folder: Path, manifest: Manifest, calibration: Calibration) -> Mapping[str, list[Feed]]:
    """What every graph takes when the calibration images are restored."""
    runtime = RecordingRuntime(folder, manifest)
    low, high = manifest.size_range
    side = min(max(SIDE, low), high)
    size = manifest.graphs[-1].shape or (side, side)
    images = calibration_images(calibration, manifest.degradations, size)
    for image in images:
        runtime.restore(image, None)
    if manifest.routing is RoutingForm.EXPERTS:
        # An expert that the router chose for no image is calibrated on all of them, by the priors that they have.
        for name, gates in zip(manifest.degradations, torch.eye(len(manifest.degradations)), strict=True):
            if not runtime.feeds[expert_graph(name)]:
                for image in images:
                    routing = runtime.route(image)
                    assert routing is not None
                    runtime.restore(image, routing._replace(gates=gates[None]))
    if missing := [graph.name for graph in manifest.graphs if not runtime.feeds[graph.name]]:
        raise ExportError(f"no calibration image came to {', '.join(missing)}")
    return runtime.feeds
