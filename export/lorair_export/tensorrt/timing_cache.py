"""A file of kernel timings that classic TensorRT reads before a build and adds to."""

import logging
from pathlib import Path

from lorair.system import write_bytes
from lorair_export.errors import BuildError
from lorair_export.tensorrt.api import BuilderConfig, TimingCache

logger = logging.getLogger(__name__)


def attach_timing_cache(config: BuilderConfig, path: Path) -> TimingCache:
    """A file's cache, attached to a config, empty where there is no file; it must live until the build is over.

    BuildError where TensorRT rejects it.
    """
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise BuildError(
            f"--timing-cache {path}: it is damaged, or of another TensorRT or GPU; name another file, or remove it"
        )
    return cache


def write_timing_cache(cache: TimingCache, path: Path) -> None:
    """Write a cache; a failure is only a warning, because the engine is already built."""
    try:
        write_bytes(path, bytes(cache.serialize()))
    except OSError as error:
        logger.warning("--timing-cache was not written: %s", error)
