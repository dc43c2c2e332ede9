"""manifest.json: everything there is to know of a bundle's files, read and written as one record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from lorair.plain_data import dataclass_from_dict, dict_from_dataclass
from lorair.system import write_text
from lorair_export.bundle.folder import MANIFEST, file_sha256
from lorair_export.bundle.graphs import Graph
from lorair_export.bundle.parity import ParityRecord
from lorair_export.bundle.records import EngineRecord, Numerics
from lorair_export.errors import ExportError
from lorair_export.spec import RoutingForm

FORMAT: Final = "lorair-bundle"
FORMAT_VERSION: Final = 3


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    Attributes:
        runtime: what runs it, `onnx` or `tensorrt`.
        graphs: what is run, the router before the restorers.
        files: the SHA-256 of every file except the manifest, by name.
        versions: of the packages that made it.
        checkpoint: SHA-256 of the checkpoint file.
        lowering: how experts are represented in the graphs.
        precision: what the restorer computes in.
        opset: ONNX's operator set.
        max_batch: the most images per call.
        degradations: the names that the router distinguishes, one expert each.
        local_window: the side in pixels that channel attention averages over; null for the whole image.
        routing: where the routing decision is taken.
        pinned: the degradation that the form `pinned` restores; null in other forms.
        mean_priors: a prior per degradation; empty where none can be named.
        parity: the ONNX graphs compared with the checkpoint; empty where that was not done.
        numerics: what the restorers compute in; null until it is measured.
        engine: how the engines were built; null for a bundle of ONNX graphs.
    """

    runtime: str
    graphs: tuple[Graph, ...]
    files: Mapping[str, str]
    versions: Mapping[str, str]
    checkpoint: str
    lowering: str
    precision: str
    opset: int
    max_batch: int
    degradations: tuple[str, ...]
    local_window: int | None
    routing: RoutingForm = RoutingForm.GRAPH
    pinned: str | None = None
    mean_priors: tuple[tuple[float, ...], ...] = ()
    parity: tuple[ParityRecord, ...] = ()
    numerics: Numerics | None = None
    engine: EngineRecord | None = None

    @property
    def size_range(self) -> tuple[int, int]:
        """The smallest and largest side in pixels of images that are restored in one call."""
        return self.graphs[-1].size_range

    @property
    def form(self) -> str:
        """The form of routing as the command line names it: `graph`, `split`, `experts`, `pinned:NAME`."""
        return f"{self.routing}:{self.pinned}" if self.pinned else self.routing.value

    @property
    def one_graph(self) -> Graph:
        """The graph of a bundle that takes an image and gives the gates too; ExportError for another routing form."""
        if self.routing is not RoutingForm.GRAPH:
            raise ExportError(f"the bundle is of --routing {self.routing}; this takes --routing graph, export that")
        return self.graphs[0]

    @property
    def engine_record(self) -> EngineRecord:
        """How the engines were built; ExportError for a bundle of ONNX graphs."""
        if self.engine is None:
            raise ExportError("the bundle has no engine; build one with 'lorair-export trt'")
        return self.engine

    def graph(self, name: str) -> Graph:
        """The graph of that name; KeyError where there is none."""
        return {graph.name: graph for graph in self.graphs}[name]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; the files it names must lie in the folder already."""
    plain = {"format": FORMAT, "format_version": FORMAT_VERSION, **dict_from_dataclass(manifest)}
    write_text(folder / MANIFEST, json.dumps(plain, indent=2) + "\n")


def read_bundle(folder: Path) -> Manifest:
    """The manifest of a bundle whose files are all there and unchanged, by their SHA-256.

    Raises:
        ExportError: the folder is no bundle, of another format version, or a file is missing or differs.
    """
    manifest = _read_manifest(folder)
    for name, sha256 in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise ExportError(f"{path}: missing; copy the whole bundle or export it again")
        if file_sha256(path) != sha256:
            raise ExportError(f"{path}: not the file that {MANIFEST} names (SHA-256); export it again")
    return manifest


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        plain: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"{folder}: no {MANIFEST}; make a bundle with 'lorair-export onnx'") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: damaged manifest ({error}); export it again") from error
    if not isinstance(plain, dict) or plain.pop("format", None) != FORMAT:
        raise ExportError(f"{path}: damaged manifest (it does not name itself {FORMAT}); export it again")
    version = plain.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ExportError(f"{path}: bundle format {version!r}, and this lorair reads {FORMAT_VERSION}; export it again")
    try:
        manifest = dataclass_from_dict(Manifest, plain, MANIFEST)
        _check_names(manifest)
    except ValueError as error:
        raise ExportError(f"{path}: damaged manifest ({error}); export it again") from error
    return manifest


def _check_names(manifest: Manifest) -> None:
    """A manifest must not name files outside its folder."""
    named = {name for graph in manifest.graphs for name in (graph.file, graph.source) if name}
    if not named or not named <= set(manifest.files) or any(Path(name).name != name for name in manifest.files):
        raise ValueError("its graphs and files must be plain file names in the folder")


def named_runtime(folder: Path) -> str | None:
    """What runs the bundle in a folder, by its manifest only; None where there is no manifest."""
    try:
        plain: Any = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("str | None", plain.get("runtime")) if isinstance(plain, dict) else None
