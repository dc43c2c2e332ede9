"""The exports, step by step: checkpoint -> ONNX bundle -> TensorRT bundle, each checked against its source."""

from lorair_export.pipeline.onnx import OnnxExport, export_onnx
from lorair_export.pipeline.plan import ExportPlan
from lorair_export.pipeline.shapes import DEFAULT_PROFILE
from lorair_export.pipeline.sources import CheckpointSource
from lorair_export.pipeline.trt import EngineExport, export_trt, prepare_trt
from lorair_export.pipeline.verify import Verification, verify

__all__ = [
    "DEFAULT_PROFILE",
    "CheckpointSource",
    "EngineExport",
    "ExportPlan",
    "OnnxExport",
    "Verification",
    "export_onnx",
    "export_trt",
    "prepare_trt",
    "verify",
]
