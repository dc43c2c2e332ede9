"""Load on a service: the generator and its report."""

from lorair_serving.load.generator import run_load
from lorair_serving.load.outcomes import Load, LoadReport, Outcome
from lorair_serving.load.payloads import payloads
from lorair_serving.load.peer import rate_in_process
from lorair_serving.load.report import LoadRecord, lines_of, record_of, write_report

__all__ = [
    "Load",
    "LoadRecord",
    "LoadReport",
    "Outcome",
    "lines_of",
    "payloads",
    "rate_in_process",
    "record_of",
    "run_load",
    "write_report",
]
