"""Resolve a target to a bundle of ONNX graphs: the folder, or one of its graphs."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from lorair_export.bundle import Manifest, read_bundle
from lorair_export.errors import ExportError

# What the names of a graph's nodes begin with, before "/".
PARTS: Final = ("router", "restorer")


def onnx_bundle(target: str) -> tuple[Path, Manifest]:
    """Folder and manifest of a bundle; a file `*.onnx` stands for its bundle's graphs, also where engines were built
    from them.

    ExportError where it is damaged, or the file is none of its graphs.
    """
    path = Path(target)
    if path.suffix != ".onnx":
        return path, read_bundle(path)
    manifest = read_bundle(path.parent)
    graphs = tuple(replace(graph, file=graph.source or graph.file, source="") for graph in manifest.graphs)
    if path.name not in [graph.file for graph in graphs]:
        raise ExportError(f"{path}: not a graph of the bundle; its graphs are {[graph.file for graph in graphs]}")
    return path.parent, replace(manifest, graphs=graphs)
