"""The bundle: a folder with one or more graphs and a manifest.json that says everything about them."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lorair.system import folder_written_aside, write_text
from lorair_export.bundle.parity import ParityRecord
from lorair_export.errors import ExportError
from lorair_export.spec import MODEL, RoutingForm

FORMAT = "lorair-bundle"
FORMAT_VERSION = 2
MANIFEST = "manifest.json"

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class TensorSpec:
    """An input or output; a dimension is a number, or a name where it is free."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Profile:
    """The image shapes [B, 3, H, W] that an engine was built for."""

    min: Shape
    opt: Shape
    max: Shape

    def __str__(self) -> str:
        return " .. ".join("x".join(map(str, shape)) for shape in (self.min, self.opt, self.max))

    def takes(self, height: int, width: int) -> bool:
        """Whether it takes images of this size as they are."""
        return self.min[2] <= height <= self.max[2] and self.min[3] <= width <= self.max[3]


@dataclass(frozen=True)
class Graph:
    """One graph of a bundle, ``image`` its first input.

    ``name`` is of :func:`graph_names`, ``file`` what is run. ``size_range`` is the smallest and largest image side
    in pixels. For an engine ``source`` names the ONNX file that it was built from, ``profiles`` the image shapes
    that it takes and ``activation_mib`` the memory of each, where the library tells.
    """

    name: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_range: tuple[int, int]
    source: str = ""
    profiles: tuple[Profile, ...] = ()
    activation_mib: tuple[float, ...] = ()

    @property
    def fixed_batch(self) -> int | None:
        """How many images every call takes; None where the number is free."""
        batch = self.inputs[0].shape[0]
        return batch if isinstance(batch, int) else None

    @property
    def shape(self) -> tuple[int, int] | None:
        """The images' height and width where they are fixed, else None."""
        height, width = self.inputs[0].shape[-2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    @property
    def compared_sizes(self) -> tuple[tuple[int, int] | None, ...]:
        """Heights and widths at which it is compared with a model: the usual ones of several profiles, between which
        images are filled up; else the fixed one, or None for any in ``size_range``."""
        usual = dict.fromkeys(profile.opt[2:] for profile in self.profiles)
        return tuple(usual) if len(self.profiles) > 1 else (self.shape,)

    def profiles_for(self, height: int, width: int) -> list[Profile]:
        """An engine's profiles that take images of this size, filled up to their smallest: those with least to fill."""

        def filled(profile: Profile) -> int:
            return max(height, profile.min[2]) * max(width, profile.min[3])

        holding = [profile for profile in self.profiles if height <= profile.max[2] and width <= profile.max[3]]
        least = min(map(filled, holding), default=0)
        return [profile for profile in holding if filled(profile) == least]


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    ``runtime`` names what runs it ("onnx", "tensorrt"), ``graphs`` what is run, the router before the restorers;
    ``files`` maps every file but the manifest to its SHA-256. ``checkpoint`` is the checkpoint file's SHA-256.
    ``max_batch`` is the most images per call. ``pinned`` is the degradation that the form pinned restores.
    ``mean_priors`` [E, P] are there where a degradation can be named. ``engine`` (flavour, compute capability, ...)
    tells of TensorRT engines, empty for ONNX. ``parity`` is empty where it was not checked. ``numerics`` tells how
    the precision was reached and checked, see :func:`lorair_export.quantization.bundle_precision.in_precision`.
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
    numerics: Mapping[str, Any] = field(default_factory=dict)
    engine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_range(self) -> tuple[int, int]:
        """The smallest and largest side in pixels of images that are restored in one call."""
        return self.graphs[-1].size_range

    @property
    def one_graph(self) -> Graph:
        """The graph of a bundle that takes an image and tells the gates; ExportError for another form of routing."""
        if self.routing is not RoutingForm.GRAPH:
            raise ExportError(f"the bundle is of --routing {self.routing}; this takes --routing graph, export that")
        return self.graphs[0]

    def graph(self, name: str) -> Graph:
        """The graph of that name; KeyError where there is none."""
        return {graph.name: graph for graph in self.graphs}[name]


@contextmanager
def new_bundle(target: Path, overwrite: bool = False, marker: str = MANIFEST) -> Iterator[Path]:
    """A folder to fill, beside ``target``, that takes its name when the block ends well, or else vanishes.

    Raises:
        ExportError: the target exists and ``overwrite`` is not set, or it lacks the file ``marker`` by which
            such folders are known; so too if it came to be meanwhile.
    """
    refuse_existing(target, overwrite, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with folder_written_aside(target) as bundle:
            yield bundle
            refuse_existing(target, overwrite, marker)
    except FileExistsError as error:
        if error.filename != str(target):
            raise
        raise ExportError(f"{target}: another command is writing it too; this one's result was dropped") from error


def refuse_existing(target: Path, overwrite: bool, marker: str = MANIFEST) -> None:
    """ExportError where ``target`` exists, and ``overwrite`` is not set or it lacks the file ``marker``."""
    if not target.exists():
        return
    if not overwrite:
        raise ExportError(f"{target} exists; choose another --output or pass --overwrite")
    if not (target / marker).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise ExportError(f"{target} exists and has no {marker}, so --overwrite leaves it alone")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; the files it names must lie in the folder already."""
    plain = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(manifest)}
    write_text(folder / MANIFEST, json.dumps(plain, indent=2) + "\n")


def read_bundle(folder: Path) -> Manifest:
    """The manifest of a bundle whose files are all there and unchanged.

    Raises:
        ExportError: the folder is no bundle, of another format version, or a file is missing or differs.
    """
    path = folder / MANIFEST
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain.pop("format") != FORMAT:
            raise ExportError(f"{path}: not a lorair bundle's manifest")
        version = plain.pop("format_version")
        if version not in (1, FORMAT_VERSION):
            raise ExportError(f"{path}: bundle format {version!r}, not 1 or {FORMAT_VERSION}; export it again")
        manifest = _manifest(_from_version_1(plain) if version == 1 else plain)
    except FileNotFoundError as error:
        raise ExportError(f"{folder}: no {MANIFEST}; make a bundle with 'lorair-export onnx'") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path}: damaged manifest ({error}); export it again") from error
    for name, sha256 in manifest.files.items():
        _verify(folder / name, sha256)
    return manifest


def named_runtime(folder: Path) -> str | None:
    """What runs the bundle in a folder, by its manifest alone; None where there is no manifest."""
    try:
        plain = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return plain.get("runtime") if isinstance(plain, dict) else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise ExportError(f"{path}: missing; copy the whole bundle or export it again")
    if file_sha256(path) != sha256:
        raise ExportError(f"{path}: not the file that {MANIFEST} names (SHA-256); export it again")


def _manifest(plain: dict[str, Any]) -> Manifest:
    graphs = tuple(_graph(graph) for graph in plain["graphs"])
    named = [name for graph in graphs for name in (graph.file, graph.source) if name]
    if not graphs or not set(named) <= set(plain["files"]) or any(Path(name).name != name for name in plain["files"]):
        raise ValueError("its graphs and files must be plain file names in the folder")
    parity = tuple(ParityRecord(**_tupled(record)) for record in plain["parity"])
    values = {**_tupled(plain), "graphs": graphs, "parity": parity, "routing": RoutingForm(plain["routing"])}
    return Manifest(**values)


def _graph(plain: dict[str, Any]) -> Graph:
    kinds = {"inputs": TensorSpec, "outputs": TensorSpec, "profiles": Profile}
    records = {name: tuple(kind(**_tupled(item)) for item in plain[name]) for name, kind in kinds.items()}
    return Graph(**{**_tupled(plain), **records})


def _from_version_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had one graph, and told of it beside everything else."""
    moved = {key: plain.pop(key) for key in ("inputs", "outputs", "size_range", "profiles")}
    engine = dict(plain.pop("engine"))
    moved |= {"source": engine.pop("graph", ""), "activation_mib": engine.pop("activation_mib", [])}
    graph = {"name": MODEL, "file": plain.pop("model"), **moved}
    return {**plain, "graphs": [graph], "engine": engine, "routing": RoutingForm.GRAPH}


def _tupled(value: Any) -> Any:  # noqa: ANN401
    """Lists as tuples, however deep, but for those in the free-form ``engine``."""
    if isinstance(value, dict):
        return {key: item if key == "engine" else _tupled(item) for key, item in value.items()}
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value
