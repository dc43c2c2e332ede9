"""TensorBoard's record of a run: figures of every stage, and some restored validation images."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from torch import Tensor

# A figure for each of the published 300,000 steps would make a slow page.
EVERY: Final = 20


class Board:
    """The event files of one stage, in a folder of its own, from step `step` on: later ones of a run that was
    interrupted are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(folder, purge_step=step)

    @staticmethod
    def available() -> bool:
        """Whether the package is installed."""
        return find_spec("tensorboard") is not None

    def add_training(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures of a step, recorded at intervals."""
        if step % EVERY == 0:
            self._add("training", step, figures)

    def add_validation(self, step: int, scores: Mapping[str, float], grid: Tensor | None) -> None:
        """Scores by degradation, and a picture float32 [3, H, W] in [0, 1]."""
        self._add("validation", step, scores)
        if grid is not None:
            self._writer.add_image("degraded, restored, clean", grid, step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is still held."""
        self._writer.close()

    def _add(self, group: str, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)
