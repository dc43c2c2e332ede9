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
from lorair_export.graph.bfloat16 import in_float32

if TYPE_CHECKING:
    import onnx
    import onnxruntime

MOST_BYTES = 1_900_000_000
CPU = "CPUExecutionProvider"

Feed = Mapping[str, NDArray[Any]]


def session_options(profile: str = "") -> "onnxruntime.SessionOptions":  # pyright: ignore[reportUnknownParameterType] (compiled, without stubs)
    """As many threads as torch takes, so that OMP_NUM_THREADS and torch's own limit bind both.

    With `profile`, the beginning of a file's name, the session keeps an account of its nodes' times there.
    """
    options = require("onnxruntime").SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Waiting threads that spin take the cores from whatever else runs here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime moves 8-bit floats across operators that it has for 8-bit integers only, and rejects the result.
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
        name: what it is called in the error.
        provider: of ONNX Runtime's.
        provider_options: of that provider.
        profile: see `session_options`.

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
        raise kind(f"{name}: ONNX Runtime {ort.__version__} by {provider} rejects this graph: {reason}") from error


def cpu_session(
    model: "onnx.ModelProto", outputs: Sequence[str] = (), profile: str = ""
) -> "onnxruntime.InferenceSession":
    """A session on the CPU, giving the named tensors of the graph after its outputs.

    A graph in bfloat16, which ONNX Runtime's CPU has no convolution for, runs as `in_float32` makes it.
    ExportError where ONNX Runtime rejects the graph. `profile` is that of `session_options`.
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
    """Write a graph in place of another, its weights next to it in `path` + `.data` where they exceed 2 GB."""
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
