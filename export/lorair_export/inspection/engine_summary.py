"""What TensorRT's inspector reports of a bundle's engines, where they load."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorair.errors import RuntimeUnavailableError
from lorair_export.bundle import Manifest
from lorair_export.tensorrt import CudaEngine, Module, engine_from_bundle, find_tensorrt

# A tensor's "Format/Datatype" is a type, "Half", or a layout with the type in it, "Row major linear FP16 format".
DATATYPE = re.compile(r"\b(BFloat16|BF16|Float|FP32|Half|FP16|FP8|U?Int8|Int32|Int64|Bool)\b", re.IGNORECASE)
SHORT = {"bfloat16": "bf16", "float": "fp32", "half": "fp16"}


@dataclass(frozen=True)
class EngineSummary:
    """The layers of a graph's engine.

    TensorRT fuses, so these are not the graph's nodes; each of several profiles has layers of its own.

    Attributes:
        graph: its name.
        layers: how many.
        types: how many of each type; empty where the engine was built without them (`ProfilingVerbosity`).
        writes: how many write each dtype; empty likewise.
    """

    graph: str
    layers: int
    types: Mapping[str, int]
    writes: Mapping[str, int]


def engine_summaries(folder: Path, manifest: Manifest) -> list[EngineSummary]:
    """A summary for each engine of a bundle; RuntimeUnavailableError where they do not load here."""
    if not torch.cuda.is_available():
        raise RuntimeUnavailableError(
            "reading an engine needs an NVIDIA GPU that it was built for, and torch sees none"
        )
    flavour = find_tensorrt(manifest.engine_record.flavour)
    engines = {graph.name: engine_from_bundle(folder, graph, manifest, flavour) for graph in manifest.graphs}
    return [summary_of(name, engine, flavour.module) for name, engine in engines.items()]


def summary_of(graph: str, engine: CudaEngine, trt: Module) -> EngineSummary:
    """The inspector's JSON, counted."""
    information = engine.create_engine_inspector().get_engine_information(
        trt.LayerInformationFormat.__members__["JSON"]
    )
    layers = json.loads(information)["Layers"]
    detailed = [layer for layer in layers if isinstance(layer, dict)]  # else only a name
    types = Counter(layer["LayerType"] for layer in detailed)
    writes = Counter(_datatype(layer["Outputs"][0]) for layer in detailed if layer.get("Outputs"))
    return EngineSummary(graph, len(layers), dict(types.most_common()), dict(writes.most_common()))


def _datatype(tensor: Mapping[str, Any]) -> str:
    """`fp16` of "Half" and of "Row major linear FP16 format"; a text that names no known type as it is."""
    text = tensor["Format/Datatype"]
    found = DATATYPE.search(text)
    return SHORT.get(found[1].lower(), found[1].lower()) if found else text
