"""What this machine can build and run, and whether a bundle runs on it."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import EngineRecord, read_bundle
from lorair_export.inspection.components import Component, components, onnxruntime
from lorair_export.tensorrt import find_tensorrt, takes_gpu, takes_version


@dataclass(frozen=True)
class BundleFit:
    """Whether a bundle runs on this machine.

    Attributes:
        path: the bundle.
        runs: whether it runs here.
        reasons: why it does not.
    """

    path: str
    runs: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What this machine can build and run.

    Attributes:
        components: everything between a checkpoint and a running engine, in that order.
        bundle: null where none was named.
    """

    components: tuple[Component, ...]
    bundle: BundleFit | None


def diagnose(bundle: Path | None = None) -> Diagnosis:
    """Look for everything that exporting and running can use, and check whether a bundle runs here.

    Raises:
        ExportError: the bundle is damaged.
    """
    if bundle is None:
        return Diagnosis(components(), None)
    reasons = obstacles(bundle)
    return Diagnosis(components(), BundleFit(str(bundle), not reasons, tuple(reasons)))


def obstacles(bundle: Path) -> list[str]:
    """Why a bundle does not run on this machine; empty where it does. ExportError where it is damaged."""
    manifest = read_bundle(bundle)
    if manifest.engine is not None:
        return _engine_obstacles(manifest.engine)
    runtime = onnxruntime()
    return [] if runtime.found else [runtime.install]


def _engine_obstacles(engine: EngineRecord) -> list[str]:
    reasons: list[str] = []
    try:
        version = find_tensorrt(engine.flavour).version
    except RuntimeUnavailableError as error:
        reasons.append(str(error))
    else:
        built = f"built with TensorRT {engine.version}"
        if not takes_version(engine, version):
            reasons.append(f"{built}, this machine has {version}; build it again, or install that version")
    if not torch.cuda.is_available():
        return [*reasons, "it needs an NVIDIA GPU, and torch sees none; the ONNX graph in the bundle needs no GPU"]
    major, minor = torch.cuda.get_device_capability()
    if not takes_gpu(engine, f"{major}.{minor}"):
        targets = ", ".join(engine.compute_capabilities)
        reasons.append(f"built for compute capability {targets}, this GPU has {major}.{minor}; build it for this GPU")
    return reasons
