"""The exports, step by step: checkpoint -> ONNX bundle -> TensorRT bundle."""

from lorair_export.pipeline.dry_run import lines_of, planned, planned_of
from lorair_export.pipeline.onnx import bundle_from_checkpoint
from lorair_export.pipeline.trt import (
    able_here,
    add_engine,
    check_engine,
    checked_graph,
    graph_for,
    runs_here,
    sides_taken,
)

__all__ = [
    "able_here",
    "add_engine",
    "bundle_from_checkpoint",
    "check_engine",
    "checked_graph",
    "graph_for",
    "lines_of",
    "planned",
    "planned_of",
    "runs_here",
    "sides_taken",
]
