"""What an export would make, told by the checkpoint and the options alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lorair.checkpoints import load
from lorair.model import LoRAIR
from lorair_export.bundle import Manifest
from lorair_export.graph import check_form
from lorair_export.quantization import KEPT
from lorair_export.spec import PRECISIONS, GraphSpec, RoutingForm, graph_names

MIB = 2**20


def planned(checkpoint: str | Path, spec: GraphSpec, clip_weights: Path | None = None) -> dict[str, Any]:
    """The graphs, what they take, about how large they are, and the largest tensor of the largest image.

    CheckpointError where the checkpoint cannot be read; ValueError where its model does not allow the spec.
    """
    model = load(checkpoint, "cpu", clip_weights)
    check_form(model, spec)
    low, high = spec.size_range
    height, width = spec.shape or (high, high)
    sides = f"{height}x{width}" if spec.shape else f"{low} to {high} pixels a side"
    # A block's inner convolutions have twice the restorer's width, at full resolution at its ends.
    inner = 2 * model.config.restorer.width * spec.max_batch * height * width * spec.dtype.itemsize
    return {
        "graphs": list(graph_names(spec.routing, model.degradations)),
        "routing": spec.routing.value if spec.pinned is None else f"{spec.routing.value}:{spec.pinned}",
        "lowering": spec.lowering.value,
        "precision": spec.precision,
        "opset": spec.opset,
        "images": f"up to {spec.max_batch} of {sides}",
        "weights_mib": round(weight_bytes(model, spec) / MIB, 1),
        "largest_tensor_mib": round(inner / MIB, 1),
    }


def planned_of(bundle: Path, manifest: Manifest) -> dict[str, Any]:
    """The same of a bundle's graphs, as they lie there."""
    low, high = manifest.size_range
    return {
        "graphs": [graph.name for graph in manifest.graphs],
        "routing": manifest.routing.value,
        "lowering": manifest.lowering,
        "precision": manifest.precision,
        "opset": manifest.opset,
        "images": f"up to {manifest.max_batch} of {low} to {high} pixels a side",
        "weights_mib": round(sum((bundle / name).stat().st_size for name in manifest.files) / MIB, 1),
    }


def weight_bytes(model: LoRAIR, spec: GraphSpec) -> int:
    """About the bytes of the weights in all graphs: the router's in float32, the restorer's as they are lowered.

    In 8 bits no block is taken to stay float32 for the sake of parity, and scales are left out.
    """
    router = 4 * sum(weight.numel() for weight in model.router.parameters())
    factors = plain = 0
    for name, weight in model.restorer.named_parameters():
        size = weight.numel() * (1 if _in_8_bits(name, weight, spec) else spec.dtype.itemsize)
        if name.rpartition(".")[2] in ("a", "b"):
            factors += size
        else:
            plain += size
    experts = len(model.degradations)
    if spec.routing is RoutingForm.PINNED:
        return plain
    if spec.routing is RoutingForm.EXPERTS:
        return router + experts * plain
    return router + factors + plain


def _in_8_bits(name: str, weight: Tensor, spec: GraphSpec) -> bool:
    if PRECISIONS[spec.precision].eight_bit is None or name.endswith((".bias", ".beta", ".gamma")):
        return False
    return weight.dim() > 1 and not re.search(KEPT, f"restorer/{name.replace('.', '/')}")


def lines_of(plan: Mapping[str, Any]) -> list[str]:
    """A plan for people, without what was not asked for."""
    asked = {name: value for name, value in plan.items() if value is not None and value is not False}
    lines = (f"  {name}: {_shown(value)}" for name, value in asked.items())
    return ["nothing is written; the export would be", *lines]


def _shown(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"about {value}" if isinstance(value, float) else str(value)
