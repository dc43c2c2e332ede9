"""ONNX Runtime on a CPU for any graph of ours, and the tensors inside it."""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorair.errors import RuntimeUnavailableError
from lorair_export.errors import ExportError
from lorair_export.extras import require

if TYPE_CHECKING:
    import onnx
    import onnxruntime

MOST_BYTES = 1_900_000_000
CPU = "CPUExecutionProvider"

Feed = Mapping[str, NDArray[Any]]


def session_options(profile: str = "") -> "onnxruntime.SessionOptions":
    """As many threads as torch takes, so that OMP_NUM_THREADS and torch's own limit bind both.

    With ``profile``, the beginning of a file's name, the session keeps an account of its nodes' times there.
    """
    options = require("onnxruntime").SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Waiting threads that spin take the cores from whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime moves 8-bit floats across operators that it has for 8-bit integers alone, and refuses the result.
    # Graphs in int8 lose little by it: its 8-bit convolutions ask for a quantised output, which 36 of 248 have in an
    # expert's graph of lorair-64 and none in the default model's low-rank one; the others compute in float32 anyway.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    return options


def opened_session(
    path: Path,
    name: str,
    provider: str = CPU,
    provider_options: Mapping[str, object] | None = None,
    profile: str = "",
) -> "onnxruntime.InferenceSession":
    """A session by one provider, which never runs by another one where that one fails.

    Args:
        path: the graph.
        name: what it is called where it is refused.
        provider: of ONNX Runtime's.
        provider_options: of that provider.
        profile: see :func:`session_options`.

    Raises:
        ExportError: ONNX Runtime does not open the graph on the CPU.
        RuntimeUnavailableError: it does not on another device.
    """
    ort = require("onnxruntime")
    providers = [(provider, dict(provider_options or {}))]
    try:
        return ort.InferenceSession(str(path), session_options(profile), providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's have no class of their own in common
        kind = ExportError if provider == CPU else RuntimeUnavailableError
        reason = " ".join(str(error).split())
        raise kind(f"{name}: ONNX Runtime {ort.__version__} by {provider} refuses this graph: {reason}") from error


def cpu_session(
    model: "onnx.ModelProto", outputs: Sequence[str] = (), profile: str = ""
) -> "onnxruntime.InferenceSession":
    """A session on the CPU, giving the named tensors of the graph beside its outputs.

    A graph in bfloat16, which ONNX Runtime's CPU has no convolution for, runs as :func:`in_float32` makes it.
    ExportError where ONNX Runtime refuses the graph. ``profile`` is that of :func:`session_options`.
    """
    onnx = require("onnx")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        copy = in_float32(model)
        held = {value.name for value in copy.graph.output}
        copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in held)
        save_graph(copy, path)
        del copy  # a session holds the weights again
        return opened_session(path, model.graph.name, profile=profile)


def save_graph(model: "onnx.ModelProto", path: Path) -> None:
    """Write a graph in place of another, its weights beside it in ``path`` + ``.data`` where they exceed 2 GB."""
    weights = Path(f"{path}.data")
    weights.unlink(missing_ok=True)
    large = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > MOST_BYTES
    require("onnx").save(model, path, save_as_external_data=large, location=weights.name)


def observed(
    model: "onnx.ModelProto", tensors: Sequence[str], feeds: Iterable[Feed]
) -> Iterator[dict[str, NDArray[Any]]]:
    """Run the graph on the CPU on every feed -> the named tensors of each run."""
    session = cpu_session(model, tensors)
    for feed in feeds:
        yield {
            name: np.asarray(value) for name, value in zip(tensors, session.run(list(tensors), dict(feed)), strict=True)
        }


def holds_bfloat16(model: "onnx.ModelProto") -> bool:
    """Whether a node casts to bfloat16, as in every graph whose border is float32."""
    bfloat16 = require("onnx").TensorProto.BFLOAT16
    casts = (attribute for node in model.graph.node if node.op_type == "Cast" for attribute in node.attribute)
    return any(attribute.name == "to" and attribute.i == bfloat16 for attribute in casts)


def in_float32(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """A copy that computes in float32 what the graph computes in bfloat16, every result rounded to bfloat16.

    That is what hardware does that sums in float32. Tensors keep their names. A graph without bfloat16 is copied.
    """
    onnx = require("onnx")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if not holds_bfloat16(model):
        return copy
    types, graph = tensor_types(model), copy.graph
    bfloat16, nodes = onnx.TensorProto.BFLOAT16, list(graph.node)
    for tensor in graph.initializer:
        _widen(tensor)
    del graph.value_info[:], graph.node[:]
    for node in nodes:
        for attribute in node.attribute:
            _widen(attribute.t)
        rounding = []
        for index, name in enumerate(node.output):
            if types.get(name) == bfloat16:
                node.output[index] = f"{name}.wide"
                rounding += [
                    onnx.helper.make_node("Cast", [f"{name}.wide"], [f"{name}.narrow"], to=bfloat16),
                    onnx.helper.make_node("Cast", [f"{name}.narrow"], [name], to=onnx.TensorProto.FLOAT),
                ]
        graph.node.extend([node, *rounding])
    return copy


def tensor_types(model: "onnx.ModelProto") -> dict[str, int]:
    """The ONNX element type of every tensor of the graph, by name."""
    onnx = require("onnx")
    bare = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    bare.graph.name = model.graph.name
    bare.graph.node.extend(model.graph.node)
    # Types need no values, and those above 2 GB could not be passed on.
    constants = [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer]
    bare.graph.input.extend([*model.graph.input, *constants])
    graph = onnx.shape_inference.infer_shapes(bare).graph
    return {
        value.name: value.type.tensor_type.elem_type for value in [*graph.input, *model.graph.output, *graph.value_info]
    }


def _widen(tensor: "onnx.TensorProto") -> None:
    """Turn a bfloat16 tensor into a float32 one, in place."""
    onnx = require("onnx")
    if tensor.data_type == onnx.TensorProto.BFLOAT16:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
