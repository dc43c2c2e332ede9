"""Components for exporting and running: what this machine has, what is missing, and how to install it."""

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import torch

from lorair.errors import RuntimeUnavailableError
from lorair_export.extras import require
from lorair_export.tensorrt import find_tensorrt


@dataclass(frozen=True)
class Component:
    """Hardware, a driver or a package that exporting or running can use.

    Attributes:
        name: such as `ONNX Runtime`.
        found: its version and what it can do; null where it is missing.
        install: how to get it; empty where it is always there.
    """

    name: str
    found: str | None
    install: str = ""


def components() -> tuple[Component, ...]:
    """Everything between a checkpoint and a running engine, in that order."""
    return (
        Component("Python", platform.python_version()),
        Component("torch", f"{torch.__version__}, {torch.get_num_threads()} threads"),
        Component("NVIDIA driver", _driver(), "install NVIDIA's driver; only engines and --device cuda need it"),
        Component("GPU", _gpu(), "torch sees no NVIDIA GPU; CPU runtimes need none"),
        _package("ONNX", "export", _onnx),
        onnxruntime(),
        _package("OpenVINO", "openvino", _openvino),
        _package("TensorRT", "tensorrt", lambda: find_tensorrt("tensorrt").version),
        _package("TensorRT-RTX", "rtx", _rtx),
    )


def onnxruntime() -> Component:
    """ONNX Runtime and the providers that it was built with."""

    def version() -> str:
        ort = require("onnxruntime")
        names = (name.removesuffix("ExecutionProvider") for name in ort.get_available_providers())
        return f"{ort.__version__}, built for {', '.join(names)}"

    return _package("ONNX Runtime", "export", version)


def _package(name: str, extra: str, version: Callable[[], str]) -> Component:
    install = f"pip install 'lorair[{extra}]'"
    try:
        return Component(name, version(), install)
    except RuntimeUnavailableError:
        return Component(name, None, install)


def _onnx() -> str:
    return f"{require('onnx').__version__}, onnxscript {require('onnxscript').__version__}"


def _openvino() -> str:
    openvino = require("openvino", "openvino")
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    bfloat16 = "runs" if "BF16" in capabilities else "does not run"
    return f"{openvino.__version__.partition('-')[0]}, openvino-bf16 {bfloat16} here"


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
        printed = subprocess.run(query, capture_output=True, check=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return printed.split("\n")[0].strip() or None
