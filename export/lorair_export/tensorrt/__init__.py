"""TensorRT: one adapter over its versions and flavours, the builder, and a loaded engine."""

from lorair_export.tensorrt.api import CudaEngine, Module
from lorair_export.tensorrt.builder import engine_from_onnx
from lorair_export.tensorrt.compatibility import takes_gpu, takes_version
from lorair_export.tensorrt.engine import LoadedEngine
from lorair_export.tensorrt.engine_spec import PORTABLE, EngineSpec, check_spec, checked_targets
from lorair_export.tensorrt.flavour import Backend, Flavour, find_tensorrt
from lorair_export.tensorrt.lint import Finding, check_buildable, lint, read_graph
from lorair_export.tensorrt.loading import engine_from_bundle
from lorair_export.tensorrt.options import AMPERE, EngineOptions

__all__ = [
    "AMPERE",
    "PORTABLE",
    "Backend",
    "CudaEngine",
    "EngineOptions",
    "EngineSpec",
    "Finding",
    "Flavour",
    "LoadedEngine",
    "Module",
    "check_buildable",
    "check_spec",
    "checked_targets",
    "engine_from_bundle",
    "engine_from_onnx",
    "find_tensorrt",
    "lint",
    "read_graph",
    "takes_gpu",
    "takes_version",
]
