"""Load on a service: the generator and its report."""

from lorair_serving.load.generator import Load, LoadReport, payloads, rate_in_process, run_load
from lorair_serving.load.report import lines_of, record_of, write_report

__all__ = ["Load", "LoadReport", "lines_of", "payloads", "rate_in_process", "record_of", "run_load", "write_report"]
