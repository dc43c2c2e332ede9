"""Benchmarks: latency, memory and quality of models, compared in one run.

`experts`, `step` and, on a GPU, `fused` are programs, run by `python -m`.
"""

from lorair_export.bench.latency.cases import Case, Part, Plan, Rounds
from lorair_export.bench.latency.columns import Columns, columns_of, table_of
from lorair_export.bench.latency.record import LatencyRecord, read_record
from lorair_export.bench.latency.restorer_models import FORMS
from lorair_export.bench.latency.rows import Row
from lorair_export.bench.latency.run import LatencyRun, benchmark_models, benchmark_restorer
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.bench.random_restorer import mixed_logits, random_restorer

__all__ = [
    "FORMS",
    "Case",
    "Columns",
    "LatencyRecord",
    "LatencyRun",
    "Part",
    "Plan",
    "PublishedRestorer",
    "Rounds",
    "Row",
    "benchmark_models",
    "benchmark_restorer",
    "columns_of",
    "mixed_logits",
    "published_params",
    "random_restorer",
    "read_record",
    "table_of",
]
