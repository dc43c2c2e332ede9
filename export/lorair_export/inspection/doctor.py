"""What this machine can build and run, what it lacks, and whether a bundle fits it or a container."""

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Manifest, read_bundle
from lorair_export.extras import require
from lorair_export.inspection.containers import CONTAINERS, same_release, tensorrt_of
from lorair_export.tensorrt import find_tensorrt, takes_gpu, takes_version

# Read in the container itself, where NVIDIA's list of releases does not tell.
ASK_CONTAINER: Final = "docker run --rm nvcr.io/nvidia/tritonserver:{tag}-py3 dpkg-query -W 'libnvinfer1*'"


@dataclass(frozen=True)
class Part:
    """Something that exporting or running can use: what was found of it, None if missing, and how to get it."""

    name: str
    found: str | None
    get: str = ""


def parts() -> list[Part]:
    """Everything that matters here, in the order of the way from a checkpoint to a running artefact."""
    return [
        Part("Python", platform.python_version()),
        Part("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        Part("NVIDIA driver", _driver(), "install NVIDIA's driver; nothing but engines and --device cuda needs it"),
        Part("GPU", _gpu(), "an NVIDIA GPU that torch sees; CPU runs do without"),
        _package(
            "ONNX", "export", lambda: f"{require('onnx').__version__}, onnxscript {require('onnxscript').__version__}"
        ),
        _package("ONNX Runtime", "export", _onnxruntime),
        _package("OpenVINO", "openvino", _openvino),
        _package("TensorRT", "tensorrt", lambda: find_tensorrt("tensorrt").version),
        _package("TensorRT-RTX", "rtx", _rtx),
    ]


def misfits(bundle: Path, tag: str | None = None) -> list[str]:
    """Why a bundle would not run here, or in the container of a tag where one is named; empty where it would.

    Raises:
        ExportError: the bundle is damaged.
        ValueError: it was not checked what the tag's container holds.
    """
    manifest = read_bundle(bundle)
    if tag is not None:
        return _misfits_container(manifest, tag)
    return _misfits_here(manifest)


def tensorrt_in(tag: str) -> str:
    """The TensorRT in Triton's container of that tag, as ``26.02``; ValueError tells how to find out if unknown."""
    version = tensorrt_of(tag)
    if version is None:
        known = ", ".join(name.removesuffix("-py3") for name in CONTAINERS.values())
        asked = ASK_CONTAINER.format(tag=tag.removesuffix("-py3"))
        raise ValueError(f"--triton-tag {tag}: not among the tags that were checked ({known}); ask it: {asked}")
    return version


def _misfits_container(manifest: Manifest, tag: str) -> list[str]:
    held = tensorrt_in(tag)
    if not manifest.engine:
        return []
    if manifest.engine["flavour"] != "tensorrt":
        return ["Triton runs plans of classic TensorRT alone; build one with --backend tensorrt, or serve the graph"]
    if manifest.engine.get("strip_weights"):
        return ["Triton puts no weights into a stripped engine; build one without --strip-weights"]
    built = manifest.engine["version"]
    if same_release(built, held) or takes_version(manifest.engine, held):
        return []
    return [f"built with TensorRT {built}, the container of {tag} holds {held}; build it inside that container"]


def _misfits_here(manifest: Manifest) -> list[str]:
    if not manifest.engine:
        return [] if (part := _package("ONNX Runtime", "export", _onnxruntime)).found else [part.get]
    kind, built = manifest.engine["flavour"], manifest.engine["version"]
    reasons: list[str] = []
    try:
        version = find_tensorrt(kind).version
    except RuntimeUnavailableError as error:
        reasons.append(str(error))
    else:
        if not takes_version(manifest.engine, version):
            reasons.append(f"built with TensorRT {built}, here is {version}; build it again, or install that one")
    targets = manifest.engine["compute_capabilities"]
    if not torch.cuda.is_available():
        return [*reasons, "it needs an NVIDIA GPU, and torch sees none; the graph beside it runs without"]
    major, minor = torch.cuda.get_device_capability()
    if not takes_gpu(manifest.engine, f"{major}.{minor}"):
        told = f"built for compute capability {', '.join(targets)}, here is {major}.{minor}"
        reasons.append(f"{told}; build it for this GPU")
    return reasons


def _package(name: str, extra: str, tell: Callable[[], str]) -> Part:
    get = f"pip install 'lorair[{extra}]'"
    try:
        return Part(name, tell(), get)
    except RuntimeUnavailableError:
        return Part(name, None, get)


def _onnxruntime() -> str:
    ort = require("onnxruntime")
    names = (name.removesuffix("ExecutionProvider") for name in ort.get_available_providers())
    return f"{ort.__version__}, built for {', '.join(names)}"


def _openvino() -> str:
    openvino = require("openvino", "openvino")
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return (
        f"{openvino.__version__.partition('-')[0]}, openvino-bf16 {'runs' if 'BF16' in able else 'does not run'} here"
    )


def _rtx() -> str:
    flavour = find_tensorrt("rtx")
    return f"{flavour.version}, builds for compute capability {', '.join(flavour.compute_capabilities)}"


def _gpu() -> str | None:
    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}, CUDA {torch.version.cuda}"


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, check=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return told.split("\n")[0].strip() or None
