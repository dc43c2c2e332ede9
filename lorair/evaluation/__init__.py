"""Measure a model on pairs of degraded and clean images: figures by task in a named protocol, and a sheet."""

from lorair.evaluation.evaluate import Evaluation, evaluate
from lorair.evaluation.metrics import PROTOCOLS, Lpips, Protocol, Scores, protocol_named
from lorair.evaluation.pairs import FolderPairs, PairSource, PhotographPairs
from lorair.evaluation.report import EvaluationReport, report_of, write_report
from lorair.evaluation.scoring import Evaluated, Score, score_pairs
from lorair.evaluation.sheet import Sheet
from lorair.evaluation.summary import confusion, summarize
from lorair.evaluation.tables import confusion_table, published_table, task_table

__all__ = [
    "PROTOCOLS",
    "Evaluated",
    "Evaluation",
    "EvaluationReport",
    "FolderPairs",
    "Lpips",
    "PairSource",
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
    "report_of",
    "score_pairs",
    "summarize",
    "task_table",
    "write_report",
]
