"""Why a benchmark ends early; `exit_code` is what its command ends with."""


class BenchmarkError(Exception):
    """Base of the errors below."""

    exit_code = 1


class UnsupportedGpuError(BenchmarkError):
    """The machine has no GPU that runs the Triton kernels."""

    exit_code = 3


class AccuracyError(BenchmarkError):
    """A form's output is too far from the expected one, so its times are not reported."""

    exit_code = 6
