"""Options of a build that not every TensorRT takes: compatibility, refitting, the timing cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lorair_export.errors import BuildError
from lorair_export.spec import able, unable
from lorair_export.tensorrt.api import BuilderConfig
from lorair_export.tensorrt.flavour import Flavour

# By the names that trtexec gives the levels, the members of HardwareCompatibilityLevel.
HW_COMPAT: Final = {"none": "NONE", "ampere+": "AMPERE_PLUS", "same-cc": "SAME_COMPUTE_CAPABILITY"}
AMPERE: Final = "8.0"


@dataclass(frozen=True)
class EngineOptions:
    """Options of an engine other than its shapes and targets.

    `hw_compat`, a key of `HW_COMPAT`, says on which other GPUs the plan is to run. `version_compatible`: it
    also runs in later versions of TensorRT. `refit`: its weights can be changed. `strip_weights`: they are left
    out, and read from the ONNX graph in the bundle when the plan is loaded. `timing_cache` is a file of kernel
    timings, read and written.
    """

    hw_compat: str = "none"
    version_compatible: bool = False
    refit: bool = False
    strip_weights: bool = False
    timing_cache: Path | None = None


def check_options(options: EngineOptions, flavour: Flavour, targets: Sequence[str], precision: str) -> None:
    """Reject what the flavour ignores or fails on.

    Raises:
        BuildError: with the reason.
        ValueError: the timing cache's folder does not exist.
    """
    if flavour.compute_capabilities:
        _check_rtx(options, targets)
    elif HW_COMPAT[options.hw_compat] not in flavour.module.HardwareCompatibilityLevel.__members__:
        raise BuildError(f"--hw-compat {options.hw_compat}: TensorRT {flavour.version} has no such level; leave it out")
    if options.hw_compat == "ampere+" and not able([AMPERE], precision):
        raise BuildError(f"--hw-compat ampere+: compute capability {AMPERE} {unable(precision)}")
    if options.timing_cache is not None and not options.timing_cache.absolute().parent.is_dir():
        raise ValueError(f"--timing-cache {options.timing_cache}: its folder does not exist; make it first")


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
    asked = {"--refit": options.refit, "--strip-weights": options.strip_weights}
    named = " ".join(name for name, on in asked.items() if on)
    if named and not torch.cuda.is_available():
        raise BuildError(
            f"{named}: TensorRT-RTX builds such a plan only on a machine with an NVIDIA GPU, and torch sees none; "
            "leave the option out, or build there"
        )
    if named and len(targets) > 1:
        raise BuildError(
            f"{named}: TensorRT-RTX builds such a plan for one compute capability, not for "
            f"{', '.join(targets)}; name one with --compute-capability"
        )


def set_options(config: BuilderConfig, options: EngineOptions, flavour: Flavour) -> None:
    """Pass checked options on to a builder's config, except for the timing cache."""
    flags = {
        "VERSION_COMPATIBLE": options.version_compatible,
        # The wheels of TensorRT-RTX have no lean runtime that could go into the plan.
        "EXCLUDE_LEAN_RUNTIME": options.version_compatible and flavour.name == "rtx",
        "REFIT": options.refit,
        "STRIP_PLAN": options.strip_weights,
    }
    for flag in (name for name, on in flags.items() if on):
        config.set_flag(flavour.module.BuilderFlag.__members__[flag])
    if options.hw_compat != "none":
        levels = flavour.module.HardwareCompatibilityLevel.__members__
        config.hardware_compatibility_level = levels[HW_COMPAT[options.hw_compat]]
