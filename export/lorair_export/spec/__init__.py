"""What to export: the form of routing, how experts are represented in the graph, precision, shapes."""

from lorair_export.spec.graph_spec import IMAGE_TYPES, OPSETS, GraphSpec
from lorair_export.spec.lowering import Lowering, chosen_lowering
from lorair_export.spec.precision import PRECISIONS, Format, able, chosen_opset, unable
from lorair_export.spec.request import GraphRequest, spec_from_request
from lorair_export.spec.routing_form import MODEL, ROUTER, RoutingForm, expert_graph, graph_names, routing_from

__all__ = [
    "IMAGE_TYPES",
    "MODEL",
    "OPSETS",
    "PRECISIONS",
    "ROUTER",
    "Format",
    "GraphRequest",
    "GraphSpec",
    "Lowering",
    "RoutingForm",
    "able",
    "chosen_lowering",
    "chosen_opset",
    "expert_graph",
    "graph_names",
    "routing_from",
    "spec_from_request",
    "unable",
]
