"""What engine to build, and whether a TensorRT can build it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from lorair_export.bundle import Profile
from lorair_export.errors import BuildError
from lorair_export.spec import able, unable
from lorair_export.tensorrt.flavour import Flavour
from lorair_export.tensorrt.options import EngineOptions, check_options

PORTABLE: Final = ("8.6", "8.9", "12.0")


@dataclass(frozen=True)
class EngineSpec:
    """What engine to build.

    `profiles` are shapes of the graph's first input, the images; none where its shape is fixed.
    `compute_capabilities` are the targets, one plan for all, as `"8.6"`; none means those of `PORTABLE` that
    compute in the precision (TensorRT-RTX only). `opt_level` is the builder optimization level, 0 to 5, None for the
    library's default (classic TensorRT only). `workspace_mib` is the most scratch memory, None for all there is.
    `name` is a short text kept inside the plan. `precision` is the graph's, which targets must compute in.
    `options` are those that a flavour may reject.
    """

    profiles: tuple[Profile, ...] = ()
    compute_capabilities: tuple[str, ...] = ()
    opt_level: int | None = None
    workspace_mib: int | None = None
    name: str = ""
    precision: str = "fp32"
    options: EngineOptions = field(default_factory=EngineOptions)


def check_spec(flavour: Flavour, spec: EngineSpec) -> None:
    """Reject before the export what the build would reject after it.

    Raises:
        BuildError: the flavour does not take an option.
        RuntimeUnavailableError: the flavour needs a GPU, and there is none.
        ValueError: an option is out of its range.
    """
    targets = checked_targets(flavour, spec.compute_capabilities, spec.precision)
    check_options(spec.options, flavour, targets, spec.precision)
    if spec.opt_level is not None and not 0 <= spec.opt_level <= 5:
        raise ValueError(f"--opt-level lies in 0..5; got {spec.opt_level}")
    if spec.opt_level is not None and flavour.compute_capabilities:
        raise BuildError(
            "--opt-level: TensorRT-RTX chooses kernels on the GPU that loads the plan, so a level changes "
            "nothing in it; leave the option out"
        )
    for profile in spec.profiles:
        bounds = zip(profile.min, profile.opt, profile.max, strict=True)
        if not all(1 <= low <= usual <= high for low, usual, high in bounds):
            raise ValueError(f"a profile needs 1 <= min <= opt <= max in every dimension; got {profile}")
    flavour.builder()


def checked_targets(flavour: Flavour, compute_capabilities: Sequence[str], precision: str = "fp32") -> tuple[str, ...]:
    """The compute capabilities to build for, by default those of PORTABLE that compute in the precision.

    BuildError: one is unknown, or does not compute in the precision.
    """
    known = flavour.compute_capabilities
    if compute_capabilities and not known:
        raise BuildError(
            f"--compute-capability {' '.join(compute_capabilities)}: classic TensorRT builds for the GPU of "
            "this machine only; leave the option out and build on the target GPU, or use --backend rtx"
        )
    if unknown := [target for target in compute_capabilities if target not in known]:
        raise BuildError(
            f"TensorRT-RTX {flavour.version} cannot build for compute capability {', '.join(unknown)}; "
            f"it knows {', '.join(known)}. For others use classic TensorRT on the GPU (--backend tensorrt)"
        )
    targets = able(compute_capabilities, precision)
    if rejected := [target for target in compute_capabilities if target not in targets]:
        raise BuildError(f"compute capability {', '.join(rejected)} {unable(precision)}")
    return targets or able([target for target in PORTABLE if target in known], precision)
