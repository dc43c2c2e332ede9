"""Where an ONNX graph spends its time, by ONNX Runtime's own profile."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from torch import Tensor

from lorair_export.extras import require
from lorair_export.runtimes import OnnxRuntime

PARTS: Final = ("router", "restorer")


def graph_part_times(target: str, runtime: OnnxRuntime, images: Tensor, calls: int) -> dict[str, float]:
    """Mean milliseconds of routing and of restoring per call, in a further session set up as the runtime's.

    The profile's own cost is in them. Empty on a GPU, where it tells when work was given and not how long it took.

    Args:
        target: the bundle or its graph that the runtime was opened from.
        runtime: opened.
        images: ``[B, 3, H, W]`` float32 in [0, 1].
        calls: calls to take the mean of, after one that is not counted.
    """
    graph, own = runtime.manifest.graphs[0], next(iter(runtime.sessions.values()))
    alone = len(runtime.sessions) == 1 and graph.inputs[0].dtype == "float32"
    if not alone or own.get_providers()[0] != "CPUExecutionProvider":
        return {}
    folder = Path(target).parent if target.endswith(".onnx") else Path(target)
    model = folder / graph.file
    batches = [part.numpy() for part in images.split(runtime.manifest.max_batch)]
    with TemporaryDirectory() as scratch:
        options = own.get_session_options()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(scratch) / "profile")
        session = require("onnxruntime").InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        options.enable_profiling = False
        for _ in range(1 + calls):
            for batch in batches:
                session.run(None, {"image": batch})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    spent = milliseconds_by_part(events, skip_runs=len(batches))
    return {f"{part}_ms": spent[part] / calls for part in PARTS} if set(spent) == set(PARTS) else {}


def milliseconds_by_part(events: Sequence[Mapping[str, Any]], skip_runs: int) -> dict[str, float]:
    """Time of the nodes by the first word of their names, ``router/...`` or ``restorer/...``, in all runs but the
    first ``skip_runs``. A node that ONNX Runtime added counts with the one before it."""
    ordered = sorted(events, key=lambda event: event["ts"])
    ends = [event["ts"] + event["dur"] for event in ordered if event["name"] == "model_run"]
    start = ends[skip_runs - 1] if skip_runs else 0
    spent: Counter[str] = Counter()
    part = PARTS[0]
    for event in ordered:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= start:
            word = event["name"].partition("/")[0]
            part = word if word in PARTS else part
            spent[part] += event["dur"] / 1000
    return dict(spent)
