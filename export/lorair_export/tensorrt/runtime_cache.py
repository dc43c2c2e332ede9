"""Kernels that TensorRT-RTX compiled on this GPU, kept for the next start."""

import hashlib
import logging
import os
from pathlib import Path

import torch

from lorair.system import write_bytes
from lorair_export.bundle import file_sha256
from lorair_export.tensorrt.api import CudaEngine
from lorair_export.tensorrt.flavour import Flavour

logger = logging.getLogger(__name__)


class EngineCache:
    """The cache of one engine, in a file of the user's cache folder, or without a path only in memory.

    TensorRT-RTX compiles kernels when a plan first runs on a GPU; the library itself rejects a cache of another
    version, GPU or driver. Without a cache everything works, so whatever goes wrong with it is one warning.
    """

    def __init__(self, path: Path | None, engine: CudaEngine) -> None:
        self.path = path
        self.kept = b""
        self.shapes: set[tuple[int, ...]] = set()
        self.config = engine.create_runtime_config()
        self.cache = self.config.create_runtime_cache()
        self._read()
        self.config.set_runtime_cache(self.cache)

    def _read(self) -> None:
        try:
            held = self.path.read_bytes() if self.path and self.path.exists() else b""
        except OSError as error:
            held = b""
            logger.warning("the kernel cache was not read: %s", error)
        if held and self.cache.deserialize(held):
            self.kept = held

    def keep(self, shape: tuple[int, ...]) -> None:
        """Write what was compiled; it is compiled in the first run of a shape."""
        if self.path is None or shape in self.shapes:
            return
        self.shapes.add(shape)
        blob = self.cache.serialize()
        if blob is None or (compiled := bytes(blob)) == self.kept:
            return
        self.kept = compiled
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.path, compiled)
        except OSError as error:
            logger.warning("the kernel cache was not written; the next start compiles again: %s", error)


def runtime_cache(plan: Path, engine: CudaEngine, flavour: Flavour) -> EngineCache | None:
    """The cache of a plan's engine; None where the library chooses its kernels when it builds."""
    if not hasattr(flavour.module, "IRuntimeCache"):
        return None
    try:
        path = cache_path(plan, flavour.version, torch.cuda.get_device_name())
    except RuntimeError as error:  # a user without a home directory, as in a container
        path = None
        logger.warning("no kernel cache; set XDG_CACHE_HOME to keep compiled kernels: %s", error)
    return EngineCache(path, engine)


def cache_path(plan: Path, version: str, gpu: str) -> Path:
    """A file of its own for each plan, library version and GPU model, in `XDG_CACHE_HOME`.

    RuntimeError where that is not set and the user has no home directory.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    key = hashlib.sha256(f"{file_sha256(plan)} {version} {gpu}".encode()).hexdigest()
    return home / "lorair" / f"{key[:32]}.rtx-cache"
