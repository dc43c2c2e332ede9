"""Benchmarks: latency, memory and quality of models, compared in one run.

``experts``, ``step`` and, on a GPU, ``fused`` are programs, run by ``python -m``.
"""

from lorair_export.bench.latency.cases import Batch, Case, Part, Plan, Rounds, case_batches
from lorair_export.bench.latency.cold_start import cold_start
from lorair_export.bench.latency.columns import columns_of, table_of
from lorair_export.bench.latency.compare import compared, differences, read_record
from lorair_export.bench.latency.measure import measure
from lorair_export.bench.latency.report import prepare_report, record_of, write_report
from lorair_export.bench.latency.restorer import FORMS, opened, prepared
from lorair_export.bench.latency.rows import Row, failure, reference_of
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.bench.random_restorer import mixed_logits, random_restorer

__all__ = [
    "FORMS",
    "Batch",
    "Case",
    "Part",
    "Plan",
    "PublishedRestorer",
    "Rounds",
    "Row",
    "case_batches",
    "cold_start",
    "columns_of",
    "compared",
    "differences",
    "failure",
    "measure",
    "mixed_logits",
    "opened",
    "prepare_report",
    "prepared",
    "published_params",
    "random_restorer",
    "read_record",
    "record_of",
    "reference_of",
    "table_of",
    "write_report",
]
