"""TensorRT: one adapter over its versions and flavours, the builder, and a loaded engine."""

from lorair_export.tensorrt.builder import PORTABLE, EngineSpec, check_spec, checked_targets, engine_from_onnx
from lorair_export.tensorrt.engine import LoadedEngine, deserialized
from lorair_export.tensorrt.flavour import Bound, Flavour, find_tensorrt
from lorair_export.tensorrt.lint import Finding, lint, read_graph, refuse_unbuildable
from lorair_export.tensorrt.options import AMPERE, EngineOptions, takes_gpu, takes_version

__all__ = [
    "AMPERE",
    "PORTABLE",
    "Bound",
    "EngineOptions",
    "EngineSpec",
    "Finding",
    "Flavour",
    "LoadedEngine",
    "check_spec",
    "checked_targets",
    "deserialized",
    "engine_from_onnx",
    "find_tensorrt",
    "lint",
    "read_graph",
    "refuse_unbuildable",
    "takes_gpu",
    "takes_version",
]
