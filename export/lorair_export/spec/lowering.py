"""How experts are represented in the graph."""

from enum import StrEnum

from lorair_export.spec.precision import PRECISIONS
from lorair_export.spec.routing_form import RoutingForm


class Lowering(StrEnum):
    """How experts become graph operations.

    One kernel per convolution merged in the graph (batch 1); low-rank branches (any batch); or none, the weights of
    one expert merged at export (the forms of routing that know it).
    """

    MERGED = "merged"
    LOW_RANK = "low-rank"
    PLAIN = "plain"


def chosen_lowering(
    choice: str, max_batch: int, routing: RoutingForm = RoutingForm.GRAPH, precision: str = "fp32"
) -> tuple[Lowering, str]:
    """The lowering of that name, or for `auto` the one that suits routing and batch, and the reason in words."""
    if choice != "auto":
        return Lowering(choice), "as requested"
    if routing in (RoutingForm.EXPERTS, RoutingForm.PINNED):
        return Lowering.PLAIN, f"weights are merged at export, the expert of each graph is known (--routing {routing})"
    if PRECISIONS[precision].eight_bit:
        return Lowering.LOW_RANK, (
            f"its kernels are constants, which {precision} needs (--precision); a model of one expert per image has "
            "them without branches by --routing experts"
        )
    if max_batch == 1:
        return Lowering.MERGED, "batch size 1: merged weights add almost no cost (--max-batch 1)"
    return Lowering.LOW_RANK, f"up to {max_batch} images per call, each with gates of its own (--max-batch)"
