"""Where the routing decision is taken in an exported bundle, and which graphs that makes."""

import re
from collections.abc import Sequence
from enum import StrEnum

MODEL, ROUTER, RESTORER = "model", "router", "restorer"


class RoutingForm(StrEnum):
    """Where the routing decision is taken.

    `graph`: in the one graph. `split`: in a graph of its own. `experts`: likewise, and it chooses among graphs of
    one expert each. `pinned`: at export, for one degradation.
    """

    GRAPH = "graph"
    SPLIT = "split"
    EXPERTS = "experts"
    PINNED = "pinned"


def routing_from(text: str) -> tuple[RoutingForm, str | None]:
    """`graph`, `split`, `experts` or `pinned:NAME` -> the form and the degradation that it is pinned to."""
    form, colon, name = text.partition(":")
    if form not in list(RoutingForm) or (form == RoutingForm.PINNED) != bool(name) or (colon and not name):
        raise ValueError(f"--routing is graph, split, experts or pinned:NAME, NAME a degradation; got {text!r}")
    return RoutingForm(form), name or None


def graph_names(form: RoutingForm, degradations: Sequence[str]) -> tuple[str, ...]:
    """The graphs of a bundle in the order in which an image passes them; ValueError for a name that is no file's."""
    if form in (RoutingForm.GRAPH, RoutingForm.PINNED):
        return (MODEL,)
    if form is RoutingForm.SPLIT:
        return ROUTER, RESTORER
    if unfit := [name for name in degradations if not re.fullmatch(r"[\w-]+", name)]:
        raise ValueError(f"--routing experts names files by degradations, of letters, digits, - and _; got {unfit}")
    return ROUTER, *(expert_graph(name) for name in degradations)


def expert_graph(degradation: str) -> str:
    """The name of the graph that restores one degradation."""
    return f"{RESTORER}.{degradation}"
