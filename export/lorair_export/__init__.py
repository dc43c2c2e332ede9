"""Checkpoint -> ONNX and TensorRT, each checked to restore what the checkpoint restores."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lorair_export.bundle import Manifest, Profile
    from lorair_export.errors import BuildError, ExportError, ParityError
    from lorair_export.pipeline import ExportPlan, Verification, export_onnx, export_trt, verify
    from lorair_export.quantization import Calibration
    from lorair_export.spec import GraphSpec, Lowering, RoutingForm
    from lorair_export.tensorrt import EngineOptions, EngineSpec

__all__ = [
    "BuildError",
    "Calibration",
    "EngineOptions",
    "EngineSpec",
    "ExportError",
    "ExportPlan",
    "GraphSpec",
    "Lowering",
    "Manifest",
    "ParityError",
    "Profile",
    "RoutingForm",
    "Verification",
    "export_onnx",
    "export_trt",
    "verify",
]

# Imported when they are first used: `import lorair_export` and the programs' --help need no torch.
_ROOMS = {
    "bundle": ("Manifest", "Profile"),
    "errors": ("BuildError", "ExportError", "ParityError"),
    "pipeline": ("ExportPlan", "Verification", "export_onnx", "export_trt", "verify"),
    "quantization": ("Calibration",),
    "spec": ("GraphSpec", "Lowering", "RoutingForm"),
    "tensorrt": ("EngineOptions", "EngineSpec"),
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    for room, names in _ROOMS.items():
        if name in names:
            return getattr(import_module(f"lorair_export.{room}"), name)
    raise AttributeError(f"module 'lorair_export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
