"""The ONNX graphs of a bundle -> an engine of each, next to them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from rich.progress import Progress

from lorair.errors import RuntimeUnavailableError
from lorair.inference import Runtime
from lorair_export.bundle import EngineRecord, Graph, Manifest, check, compare, file_sha256, write_manifest
from lorair_export.errors import BuildError
from lorair_export.pipeline.shapes import bounded, profiles_for, sides_taken
from lorair_export.runtimes import EngineRuntime
from lorair_export.spec import MODEL, able, unable
from lorair_export.tensorrt import (
    PORTABLE,
    EngineSpec,
    Flavour,
    check_buildable,
    checked_targets,
    engine_from_onnx,
    takes_gpu,
)


def add_engines(
    folder: Path, manifest: Manifest, flavour: Flavour, spec: EngineSpec, progress: Progress | None = None
) -> Manifest:
    """Build an engine of each graph into its bundle; from then on the bundle is the engines'.

    Raises:
        BuildError: see `check_buildable` and `engine_from_onnx`.
        RuntimeUnavailableError: classic TensorRT without a GPU.
    """
    spec = replace(spec, precision=manifest.precision)
    targets = checked_targets(flavour, spec.compute_capabilities, spec.precision) or able_here(manifest.precision)
    began = perf_counter()
    for graph in manifest.graphs:
        check_buildable(folder / graph.file)
    graphs = tuple(_built(folder, graph, flavour, spec, targets, progress) for graph in manifest.graphs)
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


def _built(
    folder: Path, graph: Graph, flavour: Flavour, spec: EngineSpec, targets: Sequence[str], progress: Progress | None
) -> Graph:
    """Build one graph's engine next to it."""
    profiles = profiles_for(graph, spec.profiles)
    engine = engine_from_onnx(folder / graph.file, flavour, replace(spec, profiles=profiles), progress)
    path = folder / engine_name(flavour, spec.precision, targets, graph.name)
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


def compare_engines(
    folder: Path, manifest: Manifest, flavour: Flavour, reference: Runtime, photographs: Sequence[Path]
) -> Manifest:
    """Compare a bundle's engines with the reference on this GPU and keep the record; ParityError where they miss."""
    runtime = EngineRuntime(folder, manifest, flavour, torch.device("cuda"))
    records = [
        record
        for size in manifest.graphs[-1].compared_sizes
        for record in compare(reference, runtime, photographs, manifest.max_batch, manifest.pinned, size)
    ]
    check(records, manifest.precision, manifest.graphs[0].image_dtype)
    manifest = replace(manifest, engine=replace(manifest.engine_record, parity=tuple(records)))
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
        timing_cache=None if options.timing_cache is None else options.timing_cache.name,
    )


def engine_name(flavour: Flavour, precision: str, targets: Sequence[str], graph: str = MODEL) -> str:
    """`model.fp32.rtx1.7.1.engine`, `model.fp32.trt11.4.0.sm90.plan`: what a plan is bound to.

    The name of a TensorRT-RTX plan has its targets where they are not the portable ones.
    """
    version = ".".join(flavour.version.split(".")[:3])
    numbers = "-".join(f"sm{target.replace('.', '')}" for target in targets)
    if not flavour.compute_capabilities:
        return f"{graph}.{precision}.trt{version}.{numbers}.plan"
    middle = "" if tuple(targets) == PORTABLE else f".{numbers}"
    return f"{graph}.{precision}.rtx{version}{middle}.engine"


def runs_here(manifest: Manifest) -> bool:
    """Whether this machine has a GPU of a compute capability that the engines were built for."""
    return torch.cuda.is_available() and takes_gpu(manifest.engine_record, gpu_capability())


def able_here(precision: str) -> tuple[str]:
    """The current GPU's compute capability; BuildError where it does not compute in the precision.

    RuntimeUnavailableError where torch sees no GPU.
    """
    here = gpu_capability()
    if not able([here], precision):
        raise BuildError(f"this GPU, of compute capability {here}, {unable(precision)}")
    return (here,)


def gpu_capability() -> str:
    """The compute capability of the current GPU, as `"9.0"`; RuntimeUnavailableError where torch sees none."""
    if not torch.cuda.is_available():
        raise RuntimeUnavailableError(
            "classic TensorRT builds for the NVIDIA GPU of this machine, and torch sees none; install a torch with "
            "CUDA (lorair-export doctor), or use --backend rtx, which builds without a GPU"
        )
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"
