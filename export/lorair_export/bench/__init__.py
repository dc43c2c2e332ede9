"""Benchmarks: latency, memory and quality of models, compared in one run.

`experts`, `step` and, on a GPU, `fused` are programs, run by `python -m`.
"""

from lorair_export.bench.latency import (
    FORMS,
    Case,
    Columns,
    LatencyRecord,
    LatencyRun,
    Part,
    Plan,
    Rounds,
    Row,
    benchmark_models,
    benchmark_restorer,
    columns_of,
    read_record,
    table_of,
)

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
