"""What a user requests of a graph, and the spec that fits."""

from dataclasses import dataclass

from lorair_export.spec.graph_spec import GraphSpec
from lorair_export.spec.lowering import chosen_lowering
from lorair_export.spec.precision import chosen_opset
from lorair_export.spec.routing_form import routing_from


@dataclass(frozen=True)
class GraphRequest:
    """What a user requests of a graph; what is None is chosen.

    Attributes:
        lowering: a `Lowering`, or `auto`: by routing, precision and batch.
        precision: what the restorer computes in; None is fp32.
        routing: as `routing_from` takes it; None is `graph`.
        io: the type of images; None is float32.
        opset: ONNX's operator set; None is the usual one of the precision.

    For the bundle of a graph None is what the graph has.
    """

    lowering: str = "auto"
    precision: str | None = None
    routing: str | None = None
    io: str | None = None
    opset: int | None = None


def spec_from_request(
    request: GraphRequest,
    max_batch: int,
    sizes: tuple[int, int],
    shape: tuple[int, int] | None = None,
    fixed_batch: bool = False,
) -> tuple[GraphSpec, tuple[str, ...]]:
    """The spec that a request and the images' shapes lead to, and what was chosen and why, a line each.

    Args:
        request: the options of the graph.
        max_batch: the most images per call.
        sizes: the smallest and largest height and width in pixels.
        shape: the one height and width, None for any in `sizes`.
        fixed_batch: every call takes `max_batch` images.

    Raises:
        ValueError: options are out of range or contradict each other.
    """
    form, pinned = routing_from(request.routing or "graph")
    precision = request.precision or "fp32"
    lowering, reason = chosen_lowering(request.lowering, max_batch, form, precision)
    opset, raised = chosen_opset(request.opset, precision)
    spec = GraphSpec(
        lowering,
        precision,
        opset,
        max_batch,
        *sizes,
        routing=form,
        pinned=pinned,
        shape=shape,
        fixed_batch=fixed_batch,
        io=request.io or "float32",
    )
    return spec, (f"lowering: {lowering}, {reason}", *([f"opset: {opset}, {raised}"] if raised else []))
