"""8-bit convolutions by explicit quantisation in the graph: QuantizeLinear and DequantizeLinear around them.

Kernels are stored in 8 bits with a scale per output channel; inputs have one scale per tensor, from photographs.
Zero points are 0. Biases and everything between convolutions stay float32.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorair_export.bundle import psnr_db
from lorair_export.errors import ExportError
from lorair_export.extras import require
from lorair_export.graph import Feed, observed
from lorair_export.quantization.calibration import activation_scales
from lorair_export.spec import Format

if TYPE_CHECKING:
    import onnx

# The first and last convolution meet the pixels themselves. What runs on the prior only, one vector per image, costs
# next to no multiplications, yet steers every pixel.
KEPT = r"^router/|/(intro|ending|prior_head|modulation)/"
BLOCK = re.compile(r".*?/(?:blocks|downs|ups)/\d+(?=/)")


@dataclass(frozen=True)
class Quantised:
    """A graph with 8-bit convolutions, the blocks that stayed float32 for its sake, and its PSNR on the feeds."""

    model: "onnx.ModelProto"
    kept: tuple[str, ...]
    psnr_db: float


def quantised(
    model: "onnx.ModelProto", feeds: Sequence[Feed], number: Format, keep: str, target_db: float
) -> Quantised:
    """Quantise a float32 graph's convolutions, all but those that must stay float32.

    Those are what `KEPT` names, what `keep` names, and of the rest as many blocks as it takes for the graph to
    restore the feeds within `target_db` of what it restored, the block first that does most harm by itself.

    Args:
        model: stays as it is; its first output is the restored images.
        feeds: what to calibrate and measure on.
        number: the 8-bit format.
        keep: a regular expression searched in node names, empty for none.
        target_db: the least PSNR over each feed.

    Raises:
        ExportError: no convolution is left to quantise, or not one can be without missing the target.
    """
    nodes = [
        node
        for node in convolutions_of_constants(model)
        if not re.search(KEPT, node.name) and not (keep and re.search(keep, node.name))
    ]
    if not nodes:
        raise ExportError("no convolution is left to quantise: each is kept in float32, or its kernel is computed")
    scales = activation_scales(model, list(dict.fromkeys(node.input[0] for node in nodes)), feeds, number)
    measured = _measure(model, feeds)

    def without(kept: Iterable[str]) -> Quantised:
        kept = tuple(kept)
        chosen = {node.name for node in nodes if block_of(node.name) not in kept}
        result = with_quantisers(model, chosen, scales, number)
        return Quantised(result, kept, measured(result))

    blocks = list(dict.fromkeys(block_of(node.name) for node in nodes))
    result = without(())
    if result.psnr_db < target_db:
        harm = {block: without(other for other in blocks if other != block).psnr_db for block in blocks}
        worst_first = sorted(blocks, key=lambda block: harm[block])
        for count in range(1, len(blocks)):
            result = without(worst_first[:count])
            if result.psnr_db >= target_db:
                break
        else:
            raise ExportError(
                f"8 bits in any part of the graph leave {result.psnr_db:.1f} dB, and {target_db:g} dB are required; "
                "calibrate on photographs of the kind to be restored (--calib-data), or choose another --precision"
            )
    return result


def convolutions_of_constants(model: "onnx.ModelProto") -> list["onnx.NodeProto"]:
    """The convolutions whose kernels are float32 constants."""
    kernel = {t.name for t in model.graph.initializer if t.data_type == require("onnx").TensorProto.FLOAT}
    return [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in kernel]


def block_of(name: str) -> str:
    """The block or change of resolution that a node belongs to; the module that holds it where there is none."""
    found = BLOCK.match(name)
    return found[0] if found else name.rpartition("/")[0]


def with_quantisers(
    model: "onnx.ModelProto", chosen: set[str], scales: Mapping[str, float], number: Format
) -> "onnx.ModelProto":
    """A copy in which the convolutions of those node names take 8-bit inputs.

    Convolutions of one tensor share its quantiser. `scales` is by tensor name.
    """
    onnx = require("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph, nodes = copy.graph, list(copy.graph.node)
    kernels = {tensor.name: tensor for tensor in graph.initializer}
    constants: dict[str, Any] = {}
    del graph.node[:]

    def constant(name: str, values: NDArray[Any]) -> str:
        constants[name] = onnx.numpy_helper.from_array(values, name)
        return name

    def dequantise(tensor: str, quantised: str, scale: str, zero: str, name: str) -> str:
        inputs, output = [quantised, scale, zero], f"{tensor}.dequantised"
        graph.node.append(onnx.helper.make_node("DequantizeLinear", inputs, [output], name=name, axis=0))
        return output

    done: dict[str, str] = {}
    for node in nodes:
        if node.name in chosen:
            data, kernel = node.input[:2]
            if data not in done:
                scale = constant(f"{data}.scale", np.array(scales[data], np.float32))
                zero = constant(f"{data}.zero", number.rounded(np.zeros(())))
                inputs, output = [data, scale, zero], f"{data}.quantised"
                name = f"{node.name}/QuantizeLinear"
                graph.node.append(onnx.helper.make_node("QuantizeLinear", inputs, [output], name=name))
                done[data] = dequantise(data, output, scale, zero, f"{node.name}/DequantizeLinear")
            if kernel not in done:
                values, by_channel = quantised_kernel(onnx.numpy_helper.to_array(kernels[kernel]), number)
                stored = constant(f"{kernel}.quantised", values)
                scale = constant(f"{kernel}.scale", by_channel)
                zero = constant(f"{kernel}.zero", number.rounded(np.zeros(len(by_channel))))
                done[kernel] = dequantise(kernel, stored, scale, zero, f"{node.name}/DequantizeLinear_kernel")
            node.input[:2] = [done[data], done[kernel]]
        graph.node.append(node)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for name, tensor in kernels.items() if name in used]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *constants.values()])
    return copy


def quantised_kernel(kernel: NDArray[np.float32], number: Format) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """A kernel [cout, cin, k, k] in 8 bits, and the scale [cout] by which its channels' largest values just fit."""
    largest = np.abs(kernel).reshape(len(kernel), -1).max(1)
    scales = (np.where(largest > 0, largest, 1) / number.largest_in_kernels).astype(np.float32)
    return number.rounded(kernel / scales.reshape(-1, 1, 1, 1)), scales


def _measure(model: "onnx.ModelProto", feeds: Sequence[Feed]) -> Callable[["onnx.ModelProto"], float]:
    """What measures the least PSNR over the feeds between a graph's restored images and the model's."""
    output = model.graph.output[0].name
    # Enough to see harm by; each candidate is a session of its own.
    few = feeds[:8]

    def restored(graph: "onnx.ModelProto") -> list[torch.Tensor]:
        images = (torch.from_numpy(run[output]) for run in observed(graph, [output], few))
        return [image.float() / 255 if image.dtype == torch.uint8 else image for image in images]

    expected = restored(model)
    return lambda graph: min(psnr_db(a, b) for a, b in zip(expected, restored(graph), strict=True))
