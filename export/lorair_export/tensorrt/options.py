"""Options of a build that not every TensorRT takes: compatibility, refitting, the timing cache."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from lorair.system import write_bytes
from lorair_export.errors import BuildError
from lorair_export.spec import able, unable
from lorair_export.tensorrt.flavour import Bound, Flavour

# By the names that trtexec gives the levels, the members of HardwareCompatibilityLevel.
HW_COMPAT: Final = {"none": "NONE", "ampere+": "AMPERE_PLUS", "same-cc": "SAME_COMPUTE_CAPABILITY"}
AMPERE: Final = "8.0"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineOptions:
    """What is asked of an engine beside its shapes and targets.

    ``hw_compat`` is a key of ``HW_COMPAT``: on which other GPUs the plan is to run. ``version_compatible``: in later
    versions of TensorRT too. ``refit``: its weights can be changed. ``strip_weights``: they are left out, and put
    back from the graph beside it when it is loaded. ``timing_cache`` is a file of kernel timings, read and written.
    """

    hw_compat: str = "none"
    version_compatible: bool = False
    refit: bool = False
    strip_weights: bool = False
    timing_cache: Path | None = None

    def facts(self) -> dict[str, Any]:
        """The options as a manifest and a dry run tell them."""
        return {**asdict(self), "timing_cache": self.timing_cache and self.timing_cache.name}


def check_options(options: EngineOptions, flavour: Flavour, targets: Sequence[str], precision: str) -> None:
    """Refuse what the flavour ignores or breaks on.

    Raises:
        BuildError: with the reason.
        ValueError: the timing cache's folder is not there.
    """
    if flavour.compute_capabilities:
        _check_rtx(options, targets)
    elif options.hw_compat != "none" and HW_COMPAT[options.hw_compat] not in _levels(flavour):
        raise BuildError(f"--hw-compat {options.hw_compat}: TensorRT {flavour.version} has no such level; leave it out")
    if options.hw_compat == "ampere+" and not able([AMPERE], precision):
        raise BuildError(f"--hw-compat ampere+: compute capability {AMPERE} {unable(precision)}")
    if options.timing_cache is not None and not options.timing_cache.absolute().parent.is_dir():
        raise ValueError(f"--timing-cache {options.timing_cache}: its folder is not there; make it first")


def _check_rtx(options: EngineOptions, targets: Sequence[str]) -> None:
    if options.hw_compat != "none":
        raise BuildError(
            f"--hw-compat {options.hw_compat}: TensorRT-RTX ignores it; name the GPUs with --compute-capability"
        )
    if options.timing_cache is not None:
        raise BuildError(
            "--timing-cache: TensorRT-RTX times kernels on the GPU that loads the plan, not in the build; "
            "leave the option out"
        )
    named = [f"--{name}" for name in ("refit", "strip-weights") if getattr(options, name.replace("-", "_"))]
    if named and not torch.cuda.is_available():
        raise BuildError(
            f"{' '.join(named)}: TensorRT-RTX builds such a plan on a machine with an NVIDIA GPU alone, and there is "
            "none; leave the option out, or build there"
        )
    if named and len(targets) > 1:
        raise BuildError(
            f"{' '.join(named)}: TensorRT-RTX builds such a plan for one compute capability, not for "
            f"{', '.join(targets)}; name one with --compute-capability"
        )


def _levels(flavour: Flavour) -> Mapping[str, Bound]:
    return flavour.module.HardwareCompatibilityLevel.__members__


def set_options(config: Bound, options: EngineOptions, flavour: Flavour) -> None:
    """Pass checked options on to a builder's config, but for the timing cache."""
    asked = {
        "VERSION_COMPATIBLE": options.version_compatible,
        # The wheels of TensorRT-RTX hold no lean runtime that could go into the plan.
        "EXCLUDE_LEAN_RUNTIME": options.version_compatible and flavour.name == "rtx",
        "REFIT": options.refit,
        "STRIP_PLAN": options.strip_weights,
    }
    for flag in (name for name, on in asked.items() if on):
        config.set_flag(getattr(flavour.module.BuilderFlag, flag))
    if options.hw_compat != "none":
        config.hardware_compatibility_level = _levels(flavour)[HW_COMPAT[options.hw_compat]]


def timing_cache(config: Bound, path: Path) -> Bound:
    """A file's cache, attached to a config, empty where the file is not there; it must live until the build is over.

    BuildError where TensorRT refuses it.
    """
    cache = config.create_timing_cache(path.read_bytes() if path.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise BuildError(
            f"--timing-cache {path}: it is damaged, or of another TensorRT or GPU; name another file, or remove it"
        )
    return cache


def keep_timing_cache(cache: Bound, path: Path) -> None:
    """Write a cache aside, then rename; a warning where that fails, since the engine is there by then."""
    try:
        write_bytes(path, bytes(cache.serialize()))
    except OSError as error:
        logger.warning("--timing-cache is not written: %s", error)


def takes_gpu(engine: Mapping[str, Any], capability: str) -> bool:
    """Whether a bundle's engine was built for GPUs of a compute capability, by its manifest's facts."""
    if engine.get("hw_compat") == "ampere+":
        return float(capability) >= float(AMPERE)
    return capability in engine["compute_capabilities"]


def takes_version(engine: Mapping[str, Any], version: str) -> bool:
    """Whether a bundle's engine may load in a version of its library: its own, or a later one if it was asked to.

    Of TensorRT-RTX no later version was tried, so none is promised.
    """
    later = engine["flavour"] == "tensorrt" and engine.get("version_compatible", False)
    return version == engine["version"] or (later and _numbers(version) > _numbers(engine["version"]))


def _numbers(version: str) -> tuple[int, ...]:
    """``10.15.1.29`` -> (10, 15, 1, 29)."""
    return tuple(map(int, version.split(".")))
