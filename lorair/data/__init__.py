"""Images for training, validation and tests: clean photographs that are degraded, and pairs of files."""

from lorair.data.batches import Batch, Batches, CropShapes, loaded
from lorair.data.check import DataReport, SourceReport, check_data
from lorair.data.pairs import BenchmarkPair, BenchmarkPairs, PairedBatches, PairedValidation, PairFolder
from lorair.data.photographs import DegradedBatches, PhotographFolder, ValidationPairs

__all__ = [
    "Batch",
    "Batches",
    "BenchmarkPair",
    "BenchmarkPairs",
    "CropShapes",
    "DataReport",
    "DegradedBatches",
    "PairFolder",
    "PairedBatches",
    "PairedValidation",
    "PhotographFolder",
    "SourceReport",
    "ValidationPairs",
    "check_data",
    "loaded",
]  # fmt: skip
