"""The bundle of TensorRT engines, with the ONNX graphs that they were built from beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Final

import torch
from rich.progress import Progress

from lorair.errors import RuntimeUnavailableError
from lorair.inference import Runtime
from lorair_export.bundle import (
    EngineRecord,
    Graph,
    Manifest,
    Profile,
    TensorSpec,
    check,
    compare,
    file_sha256,
    read_bundle,
    write_manifest,
)
from lorair_export.errors import BuildError, ExportError
from lorair_export.runtimes import EngineRuntime, OnnxRuntime
from lorair_export.spec import MODEL, ROUTER, GraphSpec, able, chosen_lowering, chosen_opset, routing_from, unable
from lorair_export.tensorrt import (
    PORTABLE,
    EngineSpec,
    Flavour,
    check_buildable,
    checked_targets,
    engine_from_onnx,
    takes_gpu,
)

# The largest side of images that a router's engine takes where it stands apart, in pixels.
ROUTED_SIDE: Final = 2048


def graph_for(
    profiles: Sequence[Profile], lowering: str, precision: str, routing: str = "graph", io: str = "float32"
) -> tuple[GraphSpec, str]:
    """The graphs that take every shape of the profiles, one shape alone where they do; and why they are lowered so."""
    form, pinned = routing_from(routing)
    shapes = {shape for profile in profiles for shape in (profile.min, profile.opt, profile.max)}
    sides = [side for shape in shapes for side in shape[2:]]
    batch = max(shape[0] for shape in shapes)
    chosen, reason = chosen_lowering(lowering, batch, form, precision)
    spec = GraphSpec(
        chosen,
        precision,
        chosen_opset(None, precision)[0],
        max_batch=batch,
        min_size=min(sides),
        max_size=max(sides),
        routing=form,
        pinned=pinned,
        shape=profiles[0].opt[2:] if len(shapes) == 1 else None,
        fixed_batch=len(shapes) == 1,
        io=io,
    )
    return spec, reason


def checked_graph(bundle: Path, profiles: Sequence[Profile], asked: Mapping[str, str | None]) -> Manifest:
    """The manifest of a graph's bundle, if an engine of these profiles can be built from it.

    Args:
        bundle: its folder.
        profiles: the shapes of images that the engine is to take.
        asked: lowering, precision, io and routing; "auto" or None is as the graph has it.

    Raises:
        ExportError: the folder is no bundle, or one of an engine.
        ValueError: the graph is not what was asked, or does not take the profiles' shapes.
    """
    manifest = read_bundle(bundle)
    if manifest.runtime != OnnxRuntime.name:
        raise ExportError(f"{bundle} holds an engine; name a checkpoint or a bundle of 'lorair-export onnx'")
    graph = manifest.graphs[-1]
    held = {
        "lowering": manifest.lowering,
        "precision": manifest.precision,
        "io": graph.inputs[0].dtype,
        "routing": f"{manifest.routing}:{manifest.pinned}" if manifest.pinned else manifest.routing,
    }
    for option, wanted in asked.items():
        if wanted not in (None, "auto", held[option]):
            raise ValueError(f"--{option} {wanted}: the graph in {bundle} is {held[option]}; leave the option out")
    low, high = manifest.size_range
    for profile in profiles:
        shapes = (profile.min, profile.opt, profile.max)
        within = all(low <= side <= high for shape in shapes for side in shape[2:])
        as_fixed = all(graph.shape in (None, shape[2:]) and graph.fixed_batch in (None, shape[0]) for shape in shapes)
        if not within or not as_fixed or profile.max[0] > manifest.max_batch:
            fixed = f" ({graph.shape[0]}x{graph.shape[1]} alone)" if graph.shape else ""
            batch = f"{graph.fixed_batch or f'up to {manifest.max_batch}'} images"
            raise ValueError(
                f"the graph in {bundle} takes {batch} of {low} to {high} pixels a side{fixed}; "
                f"name shapes within that, or export it anew; got {profile}"
            )
    return manifest


def sides_taken(profiles: Sequence[Profile]) -> tuple[int, int]:
    """The smallest side of images that a profile takes and the largest that the largest does, whatever their aspect.

    A profile of one size takes that alone. ValueError where heights and widths of a range have no size in common.
    """
    *others, largest = sorted(profiles, key=lambda profile: profile.max[2] * profile.max[3])
    fixed = largest.min[2:] == largest.max[2:]
    low, high = sorted(largest.max[2:]) if fixed else (max(largest.min[2:]), min(largest.max[2:]))
    if low > high:
        raise ValueError(f"heights and widths of a profile must overlap, so that a square fits; got {largest}")
    return min([low, *(side for profile in others for side in profile.min[2:])]), high


def add_engine(folder: Path, flavour: Flavour, spec: EngineSpec, progress: Progress | None = None) -> Manifest:
    """Build an engine of each graph into its bundle; from then on the bundle is the engines'.

    Raises:
        BuildError: see :func:`check_buildable` and :func:`engine_from_onnx`.
        RuntimeUnavailableError: classic TensorRT without a GPU.
    """
    manifest = read_bundle(folder)
    spec = replace(spec, precision=manifest.precision)
    targets = checked_targets(flavour, spec.compute_capabilities, spec.precision) or able_here(manifest.precision)
    began = perf_counter()
    for graph in manifest.graphs:
        check_buildable(folder / graph.file)
    graphs = tuple(_built(folder, graph, manifest, flavour, spec, targets, progress) for graph in manifest.graphs)
    manifest = replace(
        manifest,
        runtime=EngineRuntime.name,
        graphs=graphs,
        files={**manifest.files, **{graph.file: file_sha256(folder / graph.file) for graph in graphs}},
        max_batch=max(profile.max[0] for profile in spec.profiles),
        engine=replace(engine_record(flavour, spec, targets), build_s=round(perf_counter() - began, 1)),
    )
    write_manifest(folder, manifest)
    return manifest


def engine_record(flavour: Flavour, spec: EngineSpec, targets: Sequence[str]) -> EngineRecord:
    """What a manifest says of engines that are still to be built."""
    options = spec.options
    return EngineRecord(
        flavour=flavour.name,
        version=flavour.version,
        compute_capabilities=tuple(targets),
        opt_level=spec.opt_level,
        workspace_mib=spec.workspace_mib,
        hw_compat=options.hw_compat,
        version_compatible=options.version_compatible,
        refit=options.refit,
        strip_weights=options.strip_weights,
        timing_cache=options.timing_cache and options.timing_cache.name,
    )


def _built(
    folder: Path,
    graph: Graph,
    manifest: Manifest,
    flavour: Flavour,
    spec: EngineSpec,
    targets: Sequence[str],
    progress: Progress | None,
) -> Graph:
    """Build one graph's engine beside it."""
    profiles = profiles_for(graph, spec.profiles)
    engine = engine_from_onnx(folder / graph.file, flavour, replace(spec, profiles=profiles), progress)
    path = folder / engine_name(flavour, manifest.precision, targets, graph.name)
    path.write_bytes(engine.plan)
    return replace(
        graph,
        file=path.name,
        source=graph.file,
        inputs=bounded(graph.inputs, profiles),
        outputs=bounded(graph.outputs, profiles),
        size_range=sides_taken(profiles),
        profiles=profiles,
        activation_mib=tuple(round(size / 2**20, 1) for size in engine.activation_bytes),
    )


def bounded(tensors: Sequence[TensorSpec], profiles: Sequence[Profile]) -> tuple[TensorSpec, ...]:
    """Inputs or outputs with a number for every free dimension that all profiles fix."""
    shapes = [shape for profile in profiles for shape in (profile.min, profile.max)]
    fixed = {axis: shapes[0][axis] for axis in range(4) if len({shape[axis] for shape in shapes}) == 1}

    def sizes(shape: Sequence[int | str]) -> tuple[int | str, ...]:
        return tuple(fixed.get(axis, size) if isinstance(size, str) else size for axis, size in enumerate(shape))

    return tuple(replace(tensor, shape=sizes(tensor.shape)) for tensor in tensors)


def profiles_for(graph: Graph, profiles: Sequence[Profile]) -> tuple[Profile, ...]:
    """The image shapes of a graph's engine: those asked for, or for a router apart one range that holds them.

    It reaches from the smallest side to ``ROUTED_SIDE``, so that an image can be routed whole and restored in tiles.
    """
    if graph.name != ROUTER:
        return tuple(profiles)
    low = graph.size_range[0]
    high = max(ROUTED_SIDE, *(side for profile in profiles for side in profile.max[2:]))
    opt, batch = profiles[0].opt, max(profile.max[0] for profile in profiles)
    return (Profile((1, 3, low, low), (1, *opt[1:]), (batch, 3, high, high)),)


def runs_here(manifest: Manifest) -> bool:
    """Whether this machine has a GPU of a compute capability that the engine was built for."""
    return torch.cuda.is_available() and takes_gpu(manifest.engine_record, gpu_capability())


def check_engine(folder: Path, reference: Runtime, photographs: Sequence[Path]) -> Manifest:
    """Compare a bundle's engine with the reference on this GPU and keep the record; ParityError where it misses."""
    manifest = read_bundle(folder)
    runtime = EngineRuntime.open(str(folder))
    records = [
        record
        for size in manifest.graphs[-1].compared_sizes
        for record in compare(reference, runtime, photographs, manifest.max_batch, manifest.pinned, size)
    ]
    check(records, manifest.precision, manifest.graphs[0].inputs[0].dtype)
    manifest = replace(manifest, engine=replace(manifest.engine_record, parity=tuple(records)))
    write_manifest(folder, manifest)
    return manifest


def engine_name(flavour: Flavour, precision: str, targets: Sequence[str], graph: str = MODEL) -> str:
    """``model.fp32.rtx1.7.1.engine``, ``model.fp32.trt11.4.0.sm90.plan``: what a plan is bound to.

    A TensorRT-RTX name tells its targets where they are not the portable ones.
    """
    version = ".".join(flavour.version.split(".")[:3])
    numbers = "-".join(f"sm{target.replace('.', '')}" for target in targets)
    if not flavour.compute_capabilities:
        return f"{graph}.{precision}.trt{version}.{numbers}.plan"
    middle = "" if tuple(targets) == PORTABLE else f".{numbers}"
    return f"{graph}.{precision}.rtx{version}{middle}.engine"


def able_here(precision: str) -> tuple[str]:
    """The current GPU's compute capability; BuildError where it does not compute in the precision.

    RuntimeUnavailableError where torch sees no GPU.
    """
    here = gpu_capability()
    if not able([here], precision):
        raise BuildError(f"this GPU, of compute capability {here}, {unable(precision)}")
    return (here,)


def gpu_capability() -> str:
    """The compute capability of the current GPU, as ``"9.0"``; RuntimeUnavailableError where torch sees none."""
    if not torch.cuda.is_available():
        raise RuntimeUnavailableError(
            "classic TensorRT builds for the NVIDIA GPU of this machine, and torch sees none; install a torch with "
            "CUDA (lorair-export doctor), or use --backend rtx, which builds without a GPU"
        )
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"
