"""ONNX -> a TensorRT plan, by one adapter over TensorRT 10 and 11 and TensorRT-RTX.

Networks are always strongly typed: the precision is the one written in the ONNX graph.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.progress import Progress

from lorair_export.bundle import Profile
from lorair_export.errors import BuildError
from lorair_export.tensorrt.api import Builder, BuilderConfig, Network, OptimizationProfile, Parser
from lorair_export.tensorrt.audit import check_read
from lorair_export.tensorrt.engine_spec import EngineSpec, check_spec, checked_targets
from lorair_export.tensorrt.flavour import Flavour
from lorair_export.tensorrt.log import LibraryLog, is_noise, library_log
from lorair_export.tensorrt.monitor import monitored_build
from lorair_export.tensorrt.options import set_options
from lorair_export.tensorrt.timing_cache import attach_timing_cache, write_timing_cache

RTX_MAGIC: Final = b"vtrt"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """A serialised engine, and the activation memory in bytes that each profile will take at its max shape.

    `activation_bytes` is empty where the library does not report it.
    """

    plan: bytes
    activation_bytes: tuple[int, ...]


def engine_from_onnx(onnx_path: Path, flavour: Flavour, spec: EngineSpec, progress: Progress | None = None) -> Engine:
    """Build a strongly typed engine. Ctrl-C stops the build and raises KeyboardInterrupt.

    Args:
        onnx_path: the graph, with its external weights in the same folder if it has any.
        flavour: of `find_tensorrt`.
        spec: what to build.
        progress: shows the phases of the build.

    Raises:
        BuildError: the flavour does not take an option, cannot read the graph as it is, or cannot build it.
        RuntimeUnavailableError: the flavour needs a GPU, and there is none.
        ValueError: an option is out of its range.
    """
    check_spec(flavour, spec)
    targets = checked_targets(flavour, spec.compute_capabilities, spec.precision)
    trt, log = flavour.module, library_log(flavour.module)
    log.clear()
    builder = flavour.builder()
    network = builder.create_network(flavour.network_flags())
    parser = trt.OnnxParser(network, log)  # owns weights, so it must live until the build is over
    _parse(parser, onnx_path, flavour)
    check_read(network, trt, onnx_path)
    network.name = spec.name
    config = _config(builder, network, flavour, spec, targets)
    timings = attach_timing_cache(config, spec.options.timing_cache) if spec.options.timing_cache else None
    plan = monitored_build(trt, builder, network, config, progress)
    if plan is None:
        raise BuildError(f"{onnx_path.name}: TensorRT {flavour.version} built no engine: {_reason(log, targets)}")
    if timings is not None and spec.options.timing_cache is not None:
        write_timing_cache(timings, spec.options.timing_cache)
    for message in log.errors:
        logger.warning(message)
    engine = Engine(bytes(plan), tuple(log.activation_bytes))
    check_plan(engine.plan, flavour)
    return engine


def check_plan(plan: bytes, flavour: Flavour) -> None:
    """BuildError unless the plan is whole, with nothing before or after it, as far as its header shows."""
    if not flavour.compute_capabilities:
        return
    magic, size = plan[:4], int.from_bytes(plan[16:24], "little")
    if magic != RTX_MAGIC or size != len(plan):
        raise BuildError(
            f"the plan is damaged: it starts with {magic!r} instead of {RTX_MAGIC!r}, or has {len(plan)} bytes "
            f"instead of the {size} in its header; build it again"
        )


def _parse(parser: Parser, onnx_path: Path, flavour: Flavour) -> None:
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
    builder: Builder, network: Network, flavour: Flavour, spec: EngineSpec, targets: Sequence[str]
) -> BuilderConfig:
    trt, config = flavour.module, builder.create_builder_config()
    # So that the inspector reports types of layers; measured to leave a plan's size as it is.
    config.profiling_verbosity = trt.ProfilingVerbosity.__members__["DETAILED"]
    set_options(config, spec.options, flavour)
    for profile in spec.profiles:
        config.add_optimization_profile(_optimization_profile(builder, network, profile))
    if targets:
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            capability = trt.ComputeCapability.__members__[f"SM{target.replace('.', '')}"]
            config.set_compute_capability(capability, index)
    if spec.opt_level is not None:
        config.builder_optimization_level = spec.opt_level
    if spec.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.__members__["WORKSPACE"], spec.workspace_mib * 2**20)
    return config


def _optimization_profile(builder: Builder, network: Network, profile: Profile) -> OptimizationProfile:
    """The bounds of every input: of the images as they are, of others by the number of images."""
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        rest = tuple(tensor.shape)[1:] if index > 0 else ()
        least, usual, most = (
            images if index == 0 else (images[0], *rest) for images in (profile.min, profile.opt, profile.max)
        )
        made.set_shape(tensor.name, least, usual, most)
    return made


def _reason(log: LibraryLog, targets: Sequence[str]) -> str:
    hint = ""
    if "OutOfMemory" in log.text or "workspace" in log.text:
        hint = "\nraise --workspace, or lower --max-shape"
    elif "Turing" in log.text and "7.5" in targets:
        hint = "\nleave 7.5 out: it takes no float32 matrix product"
    return f"{log.text or 'no reason given'}{hint}"
