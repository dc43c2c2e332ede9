"""Facts about graphs, engines and this machine, and whether they are compatible."""

from lorair_export.inspection.artifact import Inspection, inspect_artifact
from lorair_export.inspection.components import Component
from lorair_export.inspection.doctor import BundleFit, Diagnosis, diagnose
from lorair_export.inspection.engine_summary import EngineSummary
from lorair_export.inspection.graph_facts import GraphFacts, Layer
from lorair_export.inspection.report import inspection_lines

__all__ = [
    "BundleFit",
    "Component",
    "Diagnosis",
    "EngineSummary",
    "GraphFacts",
    "Inspection",
    "Layer",
    "diagnose",
    "inspect_artifact",
    "inspection_lines",
]
