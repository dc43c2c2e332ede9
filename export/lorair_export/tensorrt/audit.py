"""Whether TensorRT read a graph's convolutions in the precision that the graph gives them."""

from collections import Counter
from pathlib import Path
from typing import Final

from lorair_export.errors import BuildError
from lorair_export.extras import require
from lorair_export.graph import convolution_types
from lorair_export.tensorrt.api import Module, Network

NAMES: Final = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


def check_read(network: Network, trt: Module, graph: Path) -> None:
    """BuildError where a parsed network has fewer convolutions of a low precision than its graph.

    Networks are strongly typed, so what is read is what is built.
    """
    written = Counter(convolution_types(require("onnx").load(graph, load_external_data=False)).values())
    read = network_types(network, trt)
    for precision, count in written.items():
        if precision != "fp32" and read[precision] < count:
            raise BuildError(
                f"{graph.name} has {count} convolutions in {precision}, and TensorRT {trt.__version__} reads "
                f"{read[precision]} of them as {precision}; its engine would be of another precision. "
                "Try another version of TensorRT"
            )


def network_types(network: Network, trt: Module) -> Counter[str]:
    """How many convolutions of a network take each precision, dequantised inputs by what they were quantised to."""
    kinds = trt.LayerType.__members__
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantised = {
        layer.get_output(0).name: layer.get_input(0) for layer in layers if layer.type == kinds["DEQUANTIZE"]
    }
    inputs = [layer.get_input(0) for layer in layers if layer.type == kinds["CONVOLUTION"]]
    types = (dequantised.get(tensor.name, tensor).dtype.name for tensor in inputs)
    return Counter(NAMES.get(name, name) for name in types)
