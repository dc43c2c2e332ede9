"""What is exported, opened once: a checkpoint, or the bundle of its ONNX graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lorair.checkpoints import checkpoint_path, load
from lorair.inference import TorchRuntime
from lorair.model import LoRAIR
from lorair.photographs import examples
from lorair_export.bundle import Manifest, file_sha256, read_bundle
from lorair_export.errors import ExportError
from lorair_export.runtimes import OnnxRuntime


@dataclass(frozen=True)
class CheckpointSource:
    """A checkpoint, as `lorair.load` takes it; its model is loaded on first use, once."""

    path: str | Path
    clip_weights: Path | None = None

    @cached_property
    def model(self) -> LoRAIR:
        """In evaluation mode, on the CPU. CheckpointError where it cannot be read."""
        return load(self.path, "cpu", self.clip_weights)

    @cached_property
    def reference(self) -> TorchRuntime:
        """What restores as the checkpoint does."""
        return TorchRuntime(self.model)

    @property
    def local_window(self) -> int | None:
        """The window in pixels that channel attention averages over; None for the whole image."""
        return self.model.config.restorer.local_window

    @property
    def sha256(self) -> str:
        """Of the checkpoint's file."""
        return file_sha256(checkpoint_path(self.path))


@dataclass(frozen=True)
class BundleSource:
    """A bundle of ONNX graphs and its manifest, whose files were found unchanged when it was opened."""

    folder: Path
    manifest: Manifest

    @cached_property
    def reference(self) -> OnnxRuntime:
        """What restores as the graphs do, on the CPU."""
        return OnnxRuntime(self.folder, self.manifest, "cpu")

    @property
    def local_window(self) -> int | None:
        """The window in pixels that channel attention averages over; None for the whole image."""
        return self.manifest.local_window


def source_from(path: str | Path, clip_weights: Path | None = None) -> CheckpointSource | BundleSource:
    """A folder is the bundle of graphs, anything else a checkpoint.

    Raises:
        ExportError: the folder is no bundle, is damaged, or holds an engine.
        ValueError: CLIP weights are given to a bundle.
    """
    folder = Path(path)
    if not folder.is_dir():
        return CheckpointSource(path, clip_weights)
    if clip_weights is not None:
        raise ValueError(f"--clip-weights goes with a checkpoint, and the graph in {path} holds them; leave it out")
    manifest = read_bundle(folder)
    if manifest.runtime != OnnxRuntime.name:
        raise ExportError(f"{path} holds an engine; name a checkpoint or a bundle of 'lorair-export onnx'")
    return BundleSource(folder, manifest)


def photographs_or_own(photographs: Sequence[Path] | None) -> Sequence[Path]:
    """Those that are named, none of them too; the package's own for None."""
    return examples() if photographs is None else photographs
