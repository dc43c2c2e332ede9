"""Whether TensorRT read a graph's convolutions in the precision that the graph gives them."""

from collections import Counter
from pathlib import Path

from lorair_export.errors import BuildError
from lorair_export.extras import require
from lorair_export.graph import convolution_types
from lorair_export.tensorrt.flavour import Bound

NAMES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8", "FP8": "fp8"}


def check_read(network: Bound, trt: Bound, graph: Path) -> None:
    """BuildError where a parsed network has fewer convolutions of a low precision than its graph.

    Networks are strongly typed, so what is read is what is built.
    """
    asked = Counter(convolution_types(require("onnx").load(graph, load_external_data=False)).values())
    read = network_types(network, trt)
    for precision, count in asked.items():
        if precision != "fp32" and read[precision] < count:
            raise BuildError(
                f"{graph.name} has {count} convolutions in {precision}, and TensorRT {trt.__version__} reads "
                f"{read[precision]} of them so; an engine would not be {precision}. Try another TensorRT"
            )


def network_types(network: Bound, trt: Bound) -> Counter[str]:
    """How many convolutions of a network take which precision, through their dequantisers."""
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantised = {
        layer.get_output(0).name: layer.get_input(0) for layer in layers if layer.type == trt.LayerType.DEQUANTIZE
    }
    inputs = [layer.get_input(0) for layer in layers if layer.type == trt.LayerType.CONVOLUTION]
    types = (str(dequantised.get(tensor.name, tensor).dtype.name) for tensor in inputs)
    return Counter(NAMES.get(name, name) for name in types)
