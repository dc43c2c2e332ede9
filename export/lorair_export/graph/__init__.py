"""ONNX graphs: made from a model, restated, opened, and checked for their precision."""

from lorair_export.graph.audit import checked_shares, convolution_types, weight_mib
from lorair_export.graph.channels_last import channels_last
from lorair_export.graph.onnx import check_file, onnx_from_model
from lorair_export.graph.parts import ROUTER_SIZES, check_form
from lorair_export.graph.session import CPU, Feed, cpu_session, observed, opened_session, save_graph

__all__ = [
    "CPU",
    "ROUTER_SIZES",
    "Feed",
    "channels_last",
    "check_file",
    "check_form",
    "checked_shares",
    "convolution_types",
    "cpu_session",
    "observed",
    "onnx_from_model",
    "opened_session",
    "save_graph",
    "weight_mib",
]
