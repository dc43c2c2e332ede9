"""What TensorRT does not build, or builds badly, found in the ONNX graph before a build."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lorair_export.errors import BuildError, ExportError
from lorair_export.extras import require

if TYPE_CHECKING:
    import onnx_ir

LOW: Final = ("FLOAT16", "BFLOAT16")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """A node that TensorRT rejects or computes badly.

    Attributes:
        node: its name.
        operator: of ONNX.
        fatal: whether no engine can be built.
        reason: why, and what to do about it.
    """

    node: str
    operator: str
    fatal: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.operator} {self.node!r}: {self.reason}"


def lint(path: Path) -> list[Finding]:
    """The findings in a graph, in its order; ExportError where the file is not ONNX."""
    model = read_graph(path)
    ir = require("onnx_ir")
    nodes = list(ir.traversal.RecursiveGraphIterator(model.graph))
    found = ((node, result) for node in nodes for rule in RULES if (result := rule(node)))
    return [Finding(node.name or "", node.op_type, fatal, reason) for node, (fatal, reason) in found]


def read_graph(path: Path) -> "onnx_ir.Model":
    """An ONNX file as onnx_ir reads it, external weights mapped and not read; ExportError where it is not ONNX."""
    from google.protobuf.message import DecodeError

    ir = require("onnx_ir")
    try:
        return ir.load(path)
    except (DecodeError, ValueError, TypeError) as error:
        raise ExportError(f"{path}: not an ONNX file ({error})") from error


def check_buildable(path: Path) -> None:
    """Warn of what TensorRT computes badly; BuildError names every node that it rejects."""
    findings = lint(path)
    for finding in findings:
        if not finding.fatal:
            logger.warning("%s: %s", path.name, finding)
    if fatal := [str(finding) for finding in findings if finding.fatal]:
        raise BuildError("\n  ".join([f"{path.name}: TensorRT builds no engine of this graph:", *fatal]))


# Fatal or not, and the reason.
Result = tuple[bool, str] | None


def _antialias(node: "onnx_ir.Node") -> Result:
    if node.op_type == "Resize" and _attribute(node, "antialias", 0):
        return True, "antialias is not supported; resize by two matrix products, or without antialias"
    return None


def _scatter(node: "onnx_ir.Node") -> Result:
    if node.op_type == "ScatterElements" and _attribute(node, "reduction", "none") != "none":
        return True, "a reduction is not supported; write a sum of products with a one-hot mask"
    return None


def _data_dependent(node: "onnx_ir.Node") -> Result:
    if node.op_type == "NonZero":
        return True, "the shape of its output depends on the data; use Where or a mask of fixed shape"
    if node.op_type == "TopK" and not _constant(node.inputs[1]):
        return True, "k must be a constant; fix it at export"
    return None


def _attention(node: "onnx_ir.Node") -> Result:
    if node.op_type == "Attention" and _dtype(node.inputs[0]) == "FLOAT":
        return True, "no kernel computes it in float32; export at opset 22 or below, where it is matrix products"
    return None


def _nested_if(node: "onnx_ir.Node") -> Result:
    shape = node.outputs[0].shape
    if node.op_type != "If" or (shape is not None and shape.is_static()):
        return None
    branches = [attribute.as_graph() for attribute in node.attributes.values()]
    if any(inner.op_type == "If" for branch in branches for inner in branch):
        return True, "nested branches need fixed shapes; export with --min-size equal to --max-size, or without If"
    return None


def _computed_kernel(node: "onnx_ir.Node") -> Result:
    if node.op_type != "Conv" or _constant(kernel := node.inputs[1]):
        return None
    if kernel is not None and kernel.shape is not None and not kernel.shape.is_static():
        return True, "a computed kernel needs a fixed shape; end it with a Reshape to constants"
    return None


def _double(node: "onnx_ir.Node") -> Result:
    if any(_dtype(value) == "DOUBLE" for value in (*node.inputs, *node.outputs)):
        return True, "float64 is not supported; compute in float32"
    return None


def _decomposed_norm(node: "onnx_ir.Node") -> Result:
    """Square root of a mean of squares in low precision: sums of squares overflow, and no single kernel computes it."""
    if node.op_type != "Sqrt" or _dtype(node.outputs[0]) not in LOW:
        return None
    mean = next((before for before in _before(node, 2) if before.op_type == "ReduceMean"), None)
    if mean is None or not any(before.op_type in ("Pow", "Mul") for before in _before(mean, 1)):
        return None
    return False, "a decomposed normalisation in low precision; use LayerNormalization in float32"


RULES: Final[tuple[Callable[["onnx_ir.Node"], Result], ...]] = (
    _antialias,
    _scatter,
    _data_dependent,
    _attention,
    _nested_if,
    _computed_kernel,
    _double,
    _decomposed_norm,
)


def _attribute(node: "onnx_ir.Node", name: str, default: int | str) -> object:
    return node.attributes[name].value if name in node.attributes else default


def _constant(value: "onnx_ir.Value | None") -> bool:
    if value is None or value.is_initializer():
        return True
    producer = value.producer()
    return producer is not None and producer.op_type == "Constant"


def _dtype(value: "onnx_ir.Value | None") -> str | None:
    return value.dtype.name if value is not None and value.dtype is not None else None


def _before(node: "onnx_ir.Node", steps: int) -> Iterator["onnx_ir.Node"]:
    """The nodes that feed a node, up to so many steps back."""
    for value in node.inputs:
        if value is not None and (producer := value.producer()) is not None:
            yield producer
            if steps > 1:
                yield from _before(producer, steps - 1)
