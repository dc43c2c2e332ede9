"""The bundle of a TensorRT engine, with the ONNX graph that it was built from beside it."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

import torch
from rich.progress import Progress

from lorair.runtime import Runtime
from lorair_export.engine_runtime import EngineRuntime
from lorair_export.errors import ExportError
from lorair_export.flavour import Flavour
from lorair_export.lowering import chosen_lowering
from lorair_export.manifest import Manifest, Profile, file_sha256, read_bundle, write_manifest
from lorair_export.onnx import GraphSpec
from lorair_export.parity import check, compare
from lorair_export.runtimes import OnnxRuntime
from lorair_export.tensorrt import PORTABLE, EngineSpec, checked_targets, engine_from_onnx


def graph_for(profiles: Sequence[Profile], lowering: str, precision: str) -> tuple[GraphSpec, str]:
    """The graph that takes every shape of the profiles, and in words why it is lowered so."""
    sides = [side for profile in profiles for shape in (profile.min, profile.max) for side in shape[2:]]
    batch = max(profile.max[0] for profile in profiles)
    chosen, reason = chosen_lowering(lowering, batch)
    spec = GraphSpec(chosen, precision, max_batch=batch, min_size=min(sides), max_size=max(sides))
    return spec, reason


def checked_graph(bundle: Path, profiles: Sequence[Profile], lowering: str, precision: str | None) -> Manifest:
    """The manifest of a graph's bundle, if an engine of these profiles can be built from it.

    Raises:
        ExportError: the folder is no bundle, or one of an engine.
        ValueError: the graph is lowered otherwise, of another precision, or does not take the profiles' shapes.
    """
    manifest = read_bundle(bundle)
    if manifest.runtime != OnnxRuntime.name:
        raise ExportError(f"{bundle} holds an engine; name a checkpoint or a bundle of 'lorair-export onnx'")
    for option, asked, held in (
        ("lowering", lowering, manifest.lowering),
        ("precision", precision or manifest.precision, manifest.precision),
    ):
        if asked not in ("auto", held):
            raise ValueError(f"--{option} {asked}: the graph in {bundle} is {held}; leave the option out")
    low, high = manifest.size_range
    for profile in profiles:
        if min(profile.min[2:]) < low or max(profile.max[2:]) > high or profile.max[0] > manifest.max_batch:
            raise ValueError(
                f"the graph in {bundle} takes up to {manifest.max_batch} images of {low} to {high} pixels a side; "
                f"name shapes within that, or export it anew; got {profile}"
            )
    return manifest


def sides_taken(profiles: Sequence[Profile]) -> tuple[int, int]:
    """The smallest and largest side of images that the largest profile takes, whatever their aspect.

    ValueError where its heights and widths have no size in common.
    """
    largest = max(profiles, key=lambda profile: profile.max[2] * profile.max[3])
    low, high = max(largest.min[2:]), min(largest.max[2:])
    if low > high:
        raise ValueError(f"heights and widths of a profile must overlap, so that a square fits; got {largest}")
    return low, high


def add_engine(folder: Path, flavour: Flavour, spec: EngineSpec, progress: Progress | None = None) -> Manifest:
    """Build the engine of a graph's bundle into it; from then on the bundle is the engine's.

    Raises:
        BuildError: see :func:`engine_from_onnx`.
        RuntimeUnavailableError: classic TensorRT without a GPU.
    """
    manifest = read_bundle(folder)
    sides = sides_taken(spec.profiles)
    began = perf_counter()
    engine = engine_from_onnx(folder / manifest.model, flavour, spec, progress)
    build_s = perf_counter() - began
    targets = checked_targets(flavour, spec.compute_capabilities) or (gpu_capability(),)
    path = folder / engine_name(flavour, manifest.precision, targets)
    path.write_bytes(engine.plan)
    manifest = replace(
        manifest,
        runtime=EngineRuntime.name,
        model=path.name,
        files={**manifest.files, path.name: file_sha256(path)},
        size_range=sides,
        max_batch=max(profile.max[0] for profile in spec.profiles),
        profiles=tuple(spec.profiles),
        engine={
            "flavour": flavour.name,
            "version": flavour.version,
            "compute_capabilities": list(targets),
            "opt_level": spec.opt_level,
            "workspace_mib": spec.workspace_mib,
            "activation_mib": [round(size / 2**20, 1) for size in engine.activation_bytes],
            "graph": manifest.model,
            "build_s": round(build_s, 1),
            "parity": [],
        },
    )
    write_manifest(folder, manifest)
    return manifest


def runs_here(manifest: Manifest) -> bool:
    """Whether this machine has a GPU of a compute capability that the engine was built for."""
    return torch.cuda.is_available() and gpu_capability() in manifest.engine["compute_capabilities"]


def check_engine(folder: Path, reference: Runtime, photographs: Sequence[Path]) -> Manifest:
    """Compare a bundle's engine with the reference on this GPU and keep the record; ParityError where it misses."""
    manifest = read_bundle(folder)
    records = compare(reference, EngineRuntime.open(str(folder)), photographs, manifest.max_batch)
    check(records, manifest.precision)
    manifest = replace(manifest, engine={**manifest.engine, "parity": [asdict(record) for record in records]})
    write_manifest(folder, manifest)
    return manifest


def engine_name(flavour: Flavour, precision: str, targets: Sequence[str]) -> str:
    """``model.fp32.rtx1.7.1.engine``, ``model.fp32.trt11.4.0.sm90.plan``: what a plan is bound to.

    A TensorRT-RTX name tells its targets where they are not the portable ones.
    """
    version = ".".join(flavour.version.split(".")[:3])
    numbers = "-".join(f"sm{target.replace('.', '')}" for target in targets)
    if not flavour.compute_capabilities:
        return f"model.{precision}.trt{version}.{numbers}.plan"
    middle = "" if tuple(targets) == PORTABLE else f".{numbers}"
    return f"model.{precision}.rtx{version}{middle}.engine"


def gpu_capability() -> str:
    """The compute capability of the current GPU, as ``"9.0"``."""
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"
