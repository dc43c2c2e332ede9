"""Running a bundle by ONNX Runtime, OpenVINO or TensorRT."""

from lorair_export.runtimes.bundle_runtime import BundleRuntime
from lorair_export.runtimes.onnx_profile import graph_part_times
from lorair_export.runtimes.onnxruntime import OnnxRuntime
from lorair_export.runtimes.openvino import OpenVinoRuntime
from lorair_export.runtimes.tensorrt import EngineRuntime

__all__ = ["BundleRuntime", "EngineRuntime", "OnnxRuntime", "OpenVinoRuntime", "graph_part_times"]
