"""A picture of where a model helps most and least: for each task the pairs of largest and smallest gain."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lorair.evaluation.metrics import unit_range
from lorair.evaluation.scoring import Evaluated, Score
from lorair.images import Float32Image, Picture, Samples

SIDE = 256
_CAPTION, _GAP = 18, 8


@dataclass(frozen=True)
class _Row:
    """A score and its three images, small."""

    score: Score
    images: tuple[Image.Image, ...]


class Sheet:
    """Given all evaluated pairs, keeps two small rows per task."""

    def __init__(self) -> None:
        self._extremes: dict[str, tuple[_Row, _Row]] = {}

    def add(self, evaluated: Evaluated) -> None:
        """Keep a pair if it is its task's worst or best so far."""
        task, gain = evaluated.score.task, evaluated.score.gain
        if task not in self._extremes:
            row = _row(evaluated)
            self._extremes[task] = (row, row)
            return
        worst, best = self._extremes[task]
        if gain < worst.score.gain:
            self._extremes[task] = (_row(evaluated), best)
        elif gain > best.score.gain:
            self._extremes[task] = (worst, _row(evaluated))

    def draw(self) -> Picture:
        """A line for each task: degraded, restored and clean of its best pair, then of its worst."""
        lines = [[best, worst] if best is not worst else [best] for worst, best in self._extremes.values()]
        heights = [max(image.height for row in line for image in row.images) + _CAPTION + _GAP for line in lines]
        across = 3 * max(map(len, lines))
        canvas = Image.new("RGB", (across * (SIDE + _GAP) + _GAP, sum(heights) + _GAP), "white")
        pen, top = ImageDraw.Draw(canvas), _GAP
        for line, height in zip(lines, heights, strict=True):
            for place, row in enumerate(line):
                left = _GAP + 3 * place * (SIDE + _GAP)
                pen.text((left, top), f"{('best', 'worst')[place]} of {_caption(row.score)}", fill="black")
                for column, image in enumerate(row.images):
                    canvas.paste(image, (left + column * (SIDE + _GAP), top + _CAPTION))
            top += height
        return Picture(np.asarray(canvas))


def _row(evaluated: Evaluated) -> _Row:
    return _Row(evaluated.score, tuple(map(_thumbnail, (evaluated.degraded, evaluated.restored, evaluated.clean))))


def _caption(score: Score) -> str:
    return f"{score.task}: {score.name}, {score.before.psnr:.2f} -> {score.after.psnr:.2f} dB, predicted {score.seen}"


def _thumbnail(pixels: Samples | Float32Image) -> Image.Image:
    image = Image.fromarray(np.rint(unit_range(pixels) * 255).astype(np.uint8))
    image.thumbnail((SIDE, SIDE))
    return image
