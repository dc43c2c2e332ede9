"""Evaluation as one call: what `lorair evaluate` does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lorair.evaluation.metrics import Lpips, protocol_named
from lorair.evaluation.pairs import PairSource
from lorair.evaluation.scoring import Score, score_pairs
from lorair.evaluation.sheet import Sheet
from lorair.evaluation.summary import TaskSummary, summarize
from lorair.inference import Runtime
from lorair.settings import Published


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        scores: one for each pair, in their order.
        degradations: those that the model knows.
        published: comparable published figures.
        sheet: the best and the worst pair of each task as pictures.
    """

    scores: tuple[Score, ...]
    degradations: tuple[str, ...]
    published: tuple[Published, ...]
    sheet: Sheet

    @property
    def summaries(self) -> list[TaskSummary]:
        """Means by task."""
        return summarize(self.scores)


def evaluate(
    runtime: Runtime,
    pairs: PairSource,
    *,
    protocol: str | None = None,
    degradation: str | None = None,
    tile: int | None = None,
    overlap: int = 32,
    lpips: Lpips | None = None,
    published: Sequence[Published] = (),
    on_pair: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Restore pairs and measure them; one pair at a time is in memory.

    Args:
        runtime: what runs the model, see `open_runtime`.
        pairs: `BenchmarkPairs` of a setting, `FolderPairs` or `PhotographPairs`.
        protocol: see `score_pairs`.
        degradation: see `score_pairs`.
        tile: see `score_pairs`.
        overlap: see `score_pairs`.
        lpips: see `score_pairs`.
        published: published figures on these pairs; omitted from the result under another `protocol`.
        on_pair: called after each pair with the number done and the total.

    Raises:
        ValueError: see `score_pairs`.
        ImageError: an image is missing or cannot be read.
    """
    if protocol is not None:
        protocol_named(protocol)
    sheet, scores = Sheet(), list[Score]()
    for evaluated in score_pairs(runtime, pairs, protocol, degradation, tile, overlap, lpips):
        scores.append(evaluated.score)
        sheet.add(evaluated)
        on_pair(len(scores), len(pairs))
    return Evaluation(tuple(scores), runtime.degradations, () if protocol else tuple(published), sheet)
