"""Where an ONNX graph spends its time, by ONNX Runtime's own profile."""

import json
from collections import Counter
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

from lorair_export.graph import CPU
from lorair_export.runtimes.onnx_bundle import PARTS
from lorair_export.runtimes.onnxruntime import OnnxRuntime, session_of


class Event(TypedDict):
    """A line of ONNX Runtime's profile; times in microseconds."""

    name: str
    ts: int
    dur: int
    cat: NotRequired[str]


def graph_part_times(target: str, runtime: OnnxRuntime, images: Tensor, calls: int) -> dict[str, float]:
    """Mean milliseconds of routing and of restoring per call, in a further session set up as the runtime's.

    They include the profile's own cost. Empty on a GPU, where the profile has when work was launched, not how long it
    took.

    Args:
        target: the bundle or its graph that the runtime was opened from.
        runtime: opened.
        images: `[B, 3, H, W]` float32 in [0, 1].
        calls: calls to take the mean of, after one that is not counted.
    """
    manifest, graph = runtime.manifest, runtime.manifest.graphs[0]
    if list(runtime.sessions) != [graph.name] or runtime.sessions[graph.name].get_providers()[0] != CPU:
        return {}
    folder = Path(target).parent if target.endswith(".onnx") else Path(target)
    with TemporaryDirectory() as scratch:
        prefix = str(Path(scratch) / "profile")
        session = session_of(folder / graph.file, torch.device("cpu"), manifest.precision, prefix)
        profiled = copy(runtime)
        profiled.sessions = {graph.name: session}
        for _ in range(1 + calls):
            profiled.restore(images, None)
        events: list[Event] = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = sum(event["name"] == "model_run" for event in events)
    spent = milliseconds_by_part(events, skip_runs=runs // (1 + calls))
    return {f"{part}_ms": spent[part] / calls for part in PARTS} if set(spent) == set(PARTS) else {}


def milliseconds_by_part(events: Sequence[Event], skip_runs: int) -> dict[str, float]:
    """Time of the nodes by the first word of their names, `router/...` or `restorer/...`, in all runs but the
    first `skip_runs`. A node that ONNX Runtime added counts with the one before it."""
    ordered = sorted(events, key=lambda event: event["ts"])
    ends = [event["ts"] + event["dur"] for event in ordered if event["name"] == "model_run"]
    start = ends[skip_runs - 1] if skip_runs else 0
    spent: Counter[str] = Counter()
    part = PARTS[0]
    for event in ordered:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and event["ts"] >= start:
            word = event["name"].partition("/")[0]
            part = word if word in PARTS else part
            spent[part] += event["dur"]
    return {name: microseconds / 1000 for name, microseconds in spent.items()}
