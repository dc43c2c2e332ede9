"""Images for training, validation and tests: clean photographs that are degraded, and pairs of files."""

from lorair.data.batches import Batch, Batches, loaded
from lorair.data.check import DataCheck, DataReport, SourceReport, check_data
from lorair.data.paired_batches import PairedBatches, PairedValidation
from lorair.data.pairs import BenchmarkPair, BenchmarkPairs, PairFolder
from lorair.data.photographs import DegradedBatches, PhotographFolder, ValidationPairs
from lorair.data.speed import reading_speed
from lorair.data.windows import CropShapes

__all__ = [
    "Batch",
    "Batches",
    "BenchmarkPair",
    "BenchmarkPairs",
    "CropShapes",
    "DataCheck",
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
    "reading_speed",
]  # fmt: skip
