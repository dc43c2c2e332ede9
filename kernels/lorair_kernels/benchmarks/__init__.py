"""The kernels on this GPU, compared with other forms of the same work: each form checked, then timed in one run."""

from lorair_kernels.benchmarks.case import Case, Form
from lorair_kernels.benchmarks.experts_cases import merge_case_of
from lorair_kernels.benchmarks.goals import Goal, figure, ratio, worst_ratio
from lorair_kernels.benchmarks.results import Result
from lorair_kernels.benchmarks.run import Options, Planned, exit_code_of, read_options, run_cases
from lorair_kernels.benchmarks.work import (
    Work,
    attention_work,
    convolution_work,
    depthwise_work,
    feed_forward_work,
)

__all__ = [
    "Case",
    "Form",
    "Goal",
    "Options",
    "Planned",
    "Result",
    "Work",
    "attention_work",
    "convolution_work",
    "depthwise_work",
    "exit_code_of",
    "feed_forward_work",
    "figure",
    "merge_case_of",
    "ratio",
    "read_options",
    "run_cases",
    "worst_ratio",
]
