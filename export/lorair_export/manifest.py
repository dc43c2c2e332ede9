"""The bundle: a folder with an artefact and a manifest.json that says everything about it."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lorair_export.errors import ExportError
from lorair_export.parity import ParityRecord

FORMAT = "lorair-bundle"
FORMAT_VERSION = 1
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


@dataclass(frozen=True)
class Manifest:
    """What a bundle holds.

    ``runtime`` names what runs it ("onnx", "tensorrt"), ``model`` the file that it opens; ``files`` maps
    every file but the manifest to its SHA-256. ``checkpoint`` is the checkpoint file's SHA-256.
    ``size_range`` is the smallest and largest image side in pixels, ``max_batch`` the most images per call.
    ``profiles`` and ``engine`` (flavour, compute capability, ...) tell of a TensorRT engine, empty for a
    graph. ``parity`` is empty where it was not checked.
    """

    runtime: str
    model: str
    files: Mapping[str, str]
    versions: Mapping[str, str]
    checkpoint: str
    lowering: str
    precision: str
    opset: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_range: tuple[int, int]
    max_batch: int
    degradations: tuple[str, ...]
    local_window: int | None
    parity: tuple[ParityRecord, ...] = ()
    profiles: tuple[Profile, ...] = ()
    engine: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def new_bundle(target: Path, overwrite: bool = False, marker: str = MANIFEST) -> Iterator[Path]:
    """A folder to fill, beside ``target``, that takes its name when the block ends well, or else vanishes.

    Raises:
        ExportError: the target exists and ``overwrite`` is not set, or it lacks the file ``marker`` by which
            such folders are known.
    """
    refuse_existing(target, overwrite, marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        bundle = aside / "new"
        bundle.mkdir()
        yield bundle
        if target.exists():
            os.replace(target, aside / "old")
        os.replace(bundle, target)
    finally:
        shutil.rmtree(aside)


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
    aside = folder / f".{MANIFEST}"
    aside.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, folder / MANIFEST)


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
        if version != FORMAT_VERSION:
            raise ExportError(f"{path}: bundle format {version!r}, not {FORMAT_VERSION}; export it again")
        manifest = _manifest(plain)
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
    if plain["model"] not in plain["files"] or any(Path(name).name != name for name in plain["files"]):
        raise ValueError("its model and files must be plain file names in the folder")
    kinds = {"inputs": TensorSpec, "outputs": TensorSpec, "profiles": Profile, "parity": ParityRecord}
    records = {name: tuple(kind(**_tupled(item)) for item in plain[name]) for name, kind in kinds.items()}
    values: dict[str, Any] = {**_tupled(plain), **records}
    return Manifest(**values)


def _tupled(item: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}
