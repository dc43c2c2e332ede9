"""What a model achieves on pairs of degraded and clean images: figures by task, in a named protocol, and a sheet."""

from lorair.evaluation.evaluate import Evaluated, Score, evaluate
from lorair.evaluation.pairs import FolderPairs, PhotographPairs

__all__ = ["Evaluated", "FolderPairs", "PhotographPairs", "Score", "evaluate"]
