"""What a graph, an engine or this machine is: facts, and whether they fit each other."""

from lorair_export.inspection.containers import tag_for
from lorair_export.inspection.doctor import misfits, parts, tensorrt_in
from lorair_export.inspection.engine_summary import EngineSummary, engine_summaries
from lorair_export.inspection.graph_facts import GraphFacts, Layer, facts_of

__all__ = [
    "EngineSummary",
    "GraphFacts",
    "Layer",
    "engine_summaries",
    "facts_of",
    "misfits",
    "parts",
    "tag_for",
    "tensorrt_in",
]
