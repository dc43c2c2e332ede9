"""Inputs, outputs and content of an artefact, and what TensorRT would reject in it."""

from dataclasses import dataclass, replace
from pathlib import Path

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Manifest, read_bundle
from lorair_export.inspection.engine_summary import EngineSummary, engine_summaries
from lorair_export.inspection.graph_facts import GraphFacts, Layer, facts_of


@dataclass(frozen=True)
class Inspection:
    """A bundle or an ONNX file in figures.

    Attributes:
        manifest: the bundle's; null for an ONNX file.
        engines: what TensorRT reports of the bundle's engines.
        engines_unread: why they were not read, such as a missing GPU; empty where they were, or where there are none.
        graphs: the ONNX graphs.
    """

    manifest: Manifest | None
    engines: tuple[EngineSummary, ...]
    engines_unread: str
    graphs: tuple[GraphFacts, ...]


def inspect_artifact(path: Path, height: int = 256, width: int = 256, layers: int = 5) -> Inspection:
    """Inspect a bundle folder or an ONNX file.

    Args:
        path: of either.
        height: of the image that work is counted for, where the graph leaves its size free.
        width: of the same.
        layers: how many of the layers with the most work, and of those with the most weights, to keep.

    Raises:
        ExportError: the bundle is damaged, or the file is not ONNX.
        RuntimeUnavailableError: a package of the `export` extra is missing.
    """
    manifest = read_bundle(path) if path.is_dir() else None
    files = [path] if manifest is None else [path / name for name in manifest.files if name.endswith(".onnx")]
    graphs = tuple(_with_largest(facts_of(file, height, width), layers) for file in files)
    engines, unread = ((), "") if manifest is None else _engines(path, manifest)
    return Inspection(manifest, engines, unread, graphs)


def _with_largest(facts: GraphFacts, count: int) -> GraphFacts:
    return replace(facts, layers=tuple(largest(facts.layers, count)))


def largest(layers: tuple[Layer, ...], count: int) -> list[Layer]:
    """The `count` layers with the most work, then those with the most weights that are not among them."""
    by_macs = sorted(layers, key=lambda layer: -layer.macs)[:count]
    by_weights = sorted(layers, key=lambda layer: -layer.weight_bytes)[:count]
    return list(dict.fromkeys([*by_macs, *by_weights]))


def _engines(folder: Path, manifest: Manifest) -> tuple[tuple[EngineSummary, ...], str]:
    """What TensorRT reports of a bundle's engines, or why it does not."""
    if manifest.engine is None:
        return (), ""
    try:
        return tuple(engine_summaries(folder, manifest)), ""
    except RuntimeUnavailableError as error:
        return (), " ".join(str(error).split())
