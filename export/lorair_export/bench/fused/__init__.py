"""The restorer by its fused kernels on a GPU, compared with eager, compiled and published forms in one run."""

from lorair_export.bench.fused.cases import RestorerCases
from lorair_export.bench.fused.training import training_case

__all__ = ["RestorerCases", "training_case"]
