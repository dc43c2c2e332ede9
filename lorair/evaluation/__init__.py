"""What a model achieves on pairs of degraded and clean images: figures by task, in a named protocol, and a sheet."""

from lorair.evaluation.evaluate import Evaluated, Score, evaluate
from lorair.evaluation.metrics import PROTOCOLS, Protocol, Scores, protocol_named
from lorair.evaluation.metrics.lpips import Lpips
from lorair.evaluation.pairs import FolderPairs, PhotographPairs
from lorair.evaluation.report import confusion_table, published_table, record_of, task_table, write_report
from lorair.evaluation.sheet import Sheet
from lorair.evaluation.summary import confusion, summarize

__all__ = [
    "PROTOCOLS",
    "Evaluated",
    "FolderPairs",
    "Lpips",
    "PhotographPairs",
    "Protocol",
    "Score",
    "Scores",
    "Sheet",
    "confusion",
    "confusion_table",
    "evaluate",
    "protocol_named",
    "published_table",
    "record_of",
    "summarize",
    "task_table",
    "write_report",
]  # fmt: skip
