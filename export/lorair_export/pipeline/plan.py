"""What an export would write: known from the source and the options, before anything is traced."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from lorair.model import LoRAIR
from lorair_export.bundle import EngineRecord, Profile
from lorair_export.pipeline.sources import BundleSource
from lorair_export.quantization import KEPT
from lorair_export.spec import PRECISIONS, GraphSpec, RoutingForm, graph_names

MIB: Final = 2**20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExportPlan:
    """What an export would write.

    Attributes:
        graphs: the names of the ONNX graphs.
        routing: where the routing decision is taken.
        lowering: how experts are represented in the graphs.
        precision: what the restorer computes in.
        opset: ONNX's operator set.
        max_batch: the most images per call.
        size_range: the smallest and largest side of images in pixels.
        shape: the one height and width of images; null where the size is free.
        weights_mib: about the size of all weights in MiB, of a bundle the size of its files.
        largest_tensor_mib: the largest tensor of the largest image in MiB; null for a bundle's graphs.
        profiles: the image shapes that an engine is built for.
        engine: how the engine would be built; null for an ONNX export.
    """

    graphs: tuple[str, ...]
    routing: str
    lowering: str
    precision: str
    opset: int
    max_batch: int
    size_range: tuple[int, int]
    shape: tuple[int, int] | None
    weights_mib: float
    largest_tensor_mib: float | None = None
    profiles: tuple[Profile, ...] = ()
    engine: EngineRecord | None = None


def plan_from_model(model: LoRAIR, spec: GraphSpec) -> ExportPlan:
    """The plan of a model's graphs."""
    height, width = spec.shape or (spec.max_size, spec.max_size)
    # A block's inner convolutions have twice the restorer's width, at full resolution at its ends.
    inner = 2 * model.config.restorer.width * spec.max_batch * height * width * spec.dtype.itemsize
    return ExportPlan(
        graphs=graph_names(spec.routing, model.degradations),
        routing=spec.form,
        lowering=spec.lowering.value,
        precision=spec.precision,
        opset=spec.opset,
        max_batch=spec.max_batch,
        size_range=spec.size_range,
        shape=spec.shape,
        weights_mib=round(weight_bytes(model, spec) / MIB, 1),
        largest_tensor_mib=round(inner / MIB, 1),
    )


def plan_from_bundle(source: BundleSource) -> ExportPlan:
    """The plan of a bundle's graphs, as they are."""
    manifest = source.manifest
    return ExportPlan(
        graphs=tuple(graph.name for graph in manifest.graphs),
        routing=manifest.form,
        lowering=manifest.lowering,
        precision=manifest.precision,
        opset=manifest.opset,
        max_batch=manifest.max_batch,
        size_range=manifest.size_range,
        shape=manifest.graphs[-1].shape,
        weights_mib=round(sum((source.folder / name).stat().st_size for name in manifest.files) / MIB, 1),
    )


def weight_bytes(model: LoRAIR, spec: GraphSpec) -> int:
    """About the bytes of the weights in all graphs: the router's in float32, the restorer's as they are lowered.

    In 8 bits scales are left out, and so are blocks that will stay in float32 for the sake of accuracy.
    """
    router = 4 * sum(weight.numel() for weight in model.router.parameters())
    factors = plain = 0
    for name, weight in model.restorer.named_parameters():
        size = weight.numel() * (1 if _in_8_bits(name, weight, spec) else spec.dtype.itemsize)
        if name.rpartition(".")[2] in ("a", "b"):
            factors += size
        else:
            plain += size
    match spec.routing:
        case RoutingForm.PINNED:
            return plain
        case RoutingForm.EXPERTS:
            return router + len(model.degradations) * plain
        case _:
            return router + factors + plain


def warn_of_small_window(local_window: int | None, largest: int, where: Path) -> None:
    """Log a warning where all images are smaller than the window that channel attention averages over."""
    if local_window is not None and largest < local_window:
        logger.warning(
            "%s: channel attention averages over %d pixels, images here have at most %d; a larger image restored in "
            "such tiles differs from one restored whole",
            where,
            local_window,
            largest,
        )


def _in_8_bits(name: str, weight: Tensor, spec: GraphSpec) -> bool:
    if PRECISIONS[spec.precision].eight_bit is None or name.endswith((".bias", ".beta", ".gamma")):
        return False
    return weight.dim() > 1 and not re.search(KEPT, f"restorer/{name.replace('.', '/')}")
