"""Scores of images -> figures by task, their average, and what the router predicted for each expert's images."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from lorair.evaluation.metrics import Scores
from lorair.evaluation.scoring import Score

AVERAGE: Final = "average"


@dataclass(frozen=True)
class TaskSummary:
    """Means over a task's images; `accuracy` is the share routed to the task's own expert, where that is known."""

    task: str
    protocol: str
    images: int
    before: Scores
    after: Scores
    lpips: float | None
    accuracy: float | None


def summarize(scores: Sequence[Score]) -> list[TaskSummary]:
    """One summary for each task, in the order of their first images."""
    tasks = dict.fromkeys(score.task for score in scores)
    return [_summary([score for score in scores if score.task == task]) for task in tasks]


def average(summaries: Sequence[TaskSummary]) -> TaskSummary:
    """The mean of the tasks' means, as papers print it: a small test set weighs as much as a large one."""
    protocols = dict.fromkeys(summary.protocol for summary in summaries)
    return TaskSummary(
        AVERAGE,
        ", ".join(protocols),
        sum(summary.images for summary in summaries),
        _mean_scores(summary.before for summary in summaries),
        _mean_scores(summary.after for summary in summaries),
        _mean_of_all([summary.lpips for summary in summaries]),
        _mean_of_all([summary.accuracy for summary in summaries]),
    )


def confusion(scores: Iterable[Score]) -> dict[str, Counter[str]]:
    """Images by their own expert, then by the one that the router predicted; empty where nothing was routed."""
    counts: dict[str, Counter[str]] = {}
    for score in scores:
        if score.routed and score.expert is not None:
            counts.setdefault(score.expert, Counter())[score.seen] += 1
    return counts


def _summary(scores: Sequence[Score]) -> TaskSummary:
    hits = [float(score.seen == score.expert) if score.routed and score.expert else None for score in scores]
    return TaskSummary(
        scores[0].task,
        ", ".join(dict.fromkeys(score.protocol for score in scores)),
        len(scores),
        _mean_scores(score.before for score in scores),
        _mean_scores(score.after for score in scores),
        _mean_of_all([score.lpips for score in scores]),
        _mean_of_all(hits),
    )


def _mean_scores(scores: Iterable[Scores]) -> Scores:
    psnr, ssim = zip(*scores, strict=True)
    return Scores(fmean(psnr), fmean(ssim))


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean, None where a value is missing."""
    present = [value for value in values if value is not None]
    return fmean(present) if present and len(present) == len(values) else None
