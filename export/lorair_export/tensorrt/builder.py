"""ONNX -> a TensorRT plan, by one adapter over TensorRT 10 and 11 and TensorRT-RTX.

Networks are always strongly typed: the precision is the one written in the ONNX graph.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress, TaskID

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Profile
from lorair_export.errors import BuildError
from lorair_export.spec import able, unable
from lorair_export.tensorrt.audit import check_read
from lorair_export.tensorrt.flavour import Bound, Flavour, is_noise, library_logger
from lorair_export.tensorrt.options import EngineOptions, check_options, keep_timing_cache, set_options, timing_cache

PORTABLE: Final = ("8.6", "8.9", "12.0")
RTX_MAGIC: Final = b"vtrt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """A serialised engine, and the activation memory in bytes that each profile will take at its max shape.

    ``activation_bytes`` is empty where the library does not tell.
    """

    plan: bytes
    activation_bytes: tuple[int, ...]


@dataclass(frozen=True)
class EngineSpec:
    """What engine to build.

    ``profiles`` are shapes of the graph's first input, the images; none where its shape is fixed.
    ``precision`` is the graph's, which targets must compute in.
    ``compute_capabilities`` are the targets, one plan for all, as ``"8.6"``; none means those of
    ``PORTABLE`` that can (TensorRT-RTX alone). ``opt_level`` is 0..5, more is a longer search, None the library's
    own (classic TensorRT alone). ``workspace_mib`` is the most scratch memory, None for all there is. ``name`` is
    a short text kept inside the plan. ``options`` are those that a flavour may refuse.
    """

    profiles: tuple[Profile, ...]
    compute_capabilities: tuple[str, ...] = ()
    opt_level: int | None = None
    workspace_mib: int | None = None
    name: str = ""
    precision: str = "fp32"
    options: EngineOptions = field(default_factory=EngineOptions)

    def facts(self) -> dict[str, Any]:
        """The options of the build as a manifest and a dry run tell them."""
        return {"opt_level": self.opt_level, "workspace_mib": self.workspace_mib, **self.options.facts()}


def engine_from_onnx(onnx_path: Path, flavour: Flavour, spec: EngineSpec, progress: Progress | None = None) -> Engine:
    """Build a strongly typed engine. Ctrl-C stops the build and raises KeyboardInterrupt.

    Args:
        onnx_path: the graph, with its external weights beside it if it has any.
        flavour: of :func:`find_tensorrt`.
        spec: what to build.
        progress: shows the phases of the build.

    Raises:
        BuildError: the flavour does not take an option, cannot read the graph as it is, or cannot build it.
        RuntimeUnavailableError: the flavour needs a GPU, and there is none.
        ValueError: an option is out of its range.
    """
    check_spec(flavour, spec)
    targets = checked_targets(flavour, spec.compute_capabilities, spec.precision)
    trt, log = flavour.module, library_logger(flavour.module)
    log.clear()
    builder = _builder(trt, log)
    network = builder.create_network(flavour.network_flags())
    parser = trt.OnnxParser(network, log)  # owns weights, so it must live until the build is over
    _parse(parser, onnx_path, flavour)
    check_read(network, trt, onnx_path)
    network.name = spec.name
    config = _config(builder, network, flavour, spec, targets)
    kept = spec.options.timing_cache
    timings = timing_cache(config, kept) if kept else None
    monitor = _monitor(trt, progress)
    config.progress_monitor = monitor
    plan = _build(builder, network, config, monitor)
    if plan is None:
        raise BuildError(f"{onnx_path.name}: TensorRT {flavour.version} built no engine: {_reason(log, targets)}")
    if kept:
        keep_timing_cache(timings, kept)
    for message in log.errors:
        logger.warning(message)
    engine = Engine(bytes(plan), tuple(log.activation_bytes))
    check_plan(engine.plan, flavour)
    return engine


def check_spec(flavour: Flavour, spec: EngineSpec) -> None:
    """Refuse at once what a build would refuse late; see :func:`engine_from_onnx` for the errors."""
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
    _builder(flavour.module, library_logger(flavour.module))


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
    if refused := [target for target in compute_capabilities if target not in targets]:
        raise BuildError(f"compute capability {', '.join(refused)} {unable(precision)}")
    return targets or able([target for target in PORTABLE if target in known], precision)


def check_plan(plan: bytes, flavour: Flavour) -> None:
    """BuildError unless the plan is whole, with nothing before or after it, as far as its header tells."""
    if not flavour.compute_capabilities:
        return
    magic, size = plan[:4], int.from_bytes(plan[16:24], "little")
    if magic != RTX_MAGIC or size != len(plan):
        raise BuildError(
            f"the plan is damaged: it starts with {magic!r} for {RTX_MAGIC!r}, and its header tells {size} "
            f"bytes for {len(plan)}; build it again"
        )


def _builder(trt: Bound, log: Bound) -> Bound:
    try:
        return trt.Builder(log)
    except TypeError as error:  # what the bindings make of a null pointer
        raise RuntimeUnavailableError(
            f"TensorRT {trt.__version__} cannot start a builder ({log.told() or error}); classic TensorRT "
            "needs an NVIDIA GPU and its driver, TensorRT-RTX (--backend rtx) does not"
        ) from error


def _parse(parser: Bound, onnx_path: Path, flavour: Flavour) -> None:
    if parser.parse_from_file(str(onnx_path)):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    lines = [f"{e.node_operator() or 'graph'} {e.node_name()!r}: {_first_lines(e.desc())}" for e in errors]
    raise BuildError("\n  ".join([f"{onnx_path.name}: TensorRT {flavour.version} cannot read this graph:", *lines]))


def _first_lines(text: str) -> str:
    """The parser's text without the lines of its own failed look-up of a GPU."""
    lines = [line for line in text.splitlines() if line.strip() and not is_noise(line)]
    return " ".join(lines[:2])


def _config(
    builder: Bound,
    network: Bound,
    flavour: Flavour,
    spec: EngineSpec,
    targets: Sequence[str],
) -> Bound:
    trt, config = flavour.module, builder.create_builder_config()
    # So that the inspector tells types of layers; measured to leave a plan's size as it is.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    set_options(config, spec.options, flavour)
    for profile in spec.profiles:
        config.add_optimization_profile(_optimization_profile(builder, network, profile))
    if targets:
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            member = f"SM{target.replace('.', '')}"
            config.set_compute_capability(getattr(trt.ComputeCapability, member), index)
    if spec.opt_level is not None:
        config.builder_optimization_level = spec.opt_level
    if spec.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, spec.workspace_mib * 2**20)
    return config


def _optimization_profile(builder: Bound, network: Bound, profile: Profile) -> Bound:
    """The bounds of every input: of the images as they are, of others by the number of images."""
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor, bounds = network.get_input(index), (profile.min, profile.opt, profile.max)
        if index > 0:
            bounds = tuple((images[0], *tuple(tensor.shape)[1:]) for images in bounds)
        made.set_shape(tensor.name, *bounds)
    return made


def _build(builder: Bound, network: Bound, config: Bound, monitor: Bound) -> Bound:
    """Build in a thread of its own: signals come to the main thread, which must be free to take them."""
    with ThreadPoolExecutor(1) as pool:
        try:
            return pool.submit(builder.build_serialized_network, network, config).result()
        except (KeyboardInterrupt, SystemExit):
            monitor.cancelled = True
            logger.warning("interrupted; TensorRT stops at its next step, which can take half a minute")
            raise


def _reason(log: Bound, targets: Sequence[str]) -> str:
    told, hint = log.told(), ""
    if "OutOfMemory" in told or "workspace" in told:
        hint = "\nraise --workspace, or lower --max-shape"
    elif "Turing" in told and "7.5" in targets:
        hint = "\nleave 7.5 out: it takes no float32 matrix product"
    return f"{told or 'none told'}{hint}"


def _monitor(trt: Bound, progress: Progress | None) -> Bound:
    class Monitor(trt.IProgressMonitor):
        """Draws the nested phases of a build; ``cancelled`` stops it at its next step."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.tasks: dict[str, TaskID] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if progress is not None:
                self.tasks[phase_name] = progress.add_task(phase_name, total=num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if progress is not None and phase_name in self.tasks:
                progress.update(self.tasks[phase_name], completed=step + 1)
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            if progress is not None and phase_name in self.tasks:
                progress.remove_task(self.tasks.pop(phase_name))

    return Monitor()
