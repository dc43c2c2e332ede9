"""Latency of models side by side: cases, measuring in turn, rows, and what is made of them."""

from lorair_export.bench.latency.cases import Case, Part, Plan, Rounds
from lorair_export.bench.latency.columns import Columns, columns_of, table_of
from lorair_export.bench.latency.record import LatencyRecord, read_record
from lorair_export.bench.latency.restorer_models import FORMS
from lorair_export.bench.latency.rows import Row
from lorair_export.bench.latency.run import LatencyRun, benchmark_models, benchmark_restorer

__all__ = [
    "FORMS",
    "Case",
    "Columns",
    "LatencyRecord",
    "LatencyRun",
    "Part",
    "Plan",
    "Rounds",
    "Row",
    "benchmark_models",
    "benchmark_restorer",
    "columns_of",
    "read_record",
    "table_of",
]
