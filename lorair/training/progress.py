"""Progress of a stage, in the terminal and in TensorBoard."""

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lorair.training.board import Board
from lorair.training.validation import Validation


class StageProgress:
    """A bar with step, loss, learning rate and speed, and a line for every validation.

    `board` is the folder of TensorBoard's files, None to write none.
    """

    def __init__(self, console: Console, board: Path | None = None) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}  lr {task.fields[rate]:.1e}  {task.fields[speed]:.0f} images/s"),
            TimeRemainingColumn(),
            console=console,
        )
        self._boards = board
        self._board: Board | None = None

    def __enter__(self) -> "StageProgress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        if self._board is not None:
            self._board.close()

    def begin(self, stage: str, step: int, steps: int, batch_size: int) -> None:
        self._stage, self._first, self._batch_size = stage, step, batch_size
        self._started = time.monotonic()
        self._task = self._bar.add_task(stage, total=steps, completed=step, loss=0.0, rate=0.0, speed=0.0)
        if step > 0:
            state = "already complete" if step == steps else f"resuming at step {step}"
            self._bar.console.print(f"{stage}: {state}")
        if self._board is not None:
            self._board.close()
        self._board = Board(self._boards / stage, step) if self._boards is not None and step < steps else None

    def advance(self, step: int, loss: float, rate: float) -> None:
        speed = (step - self._first) * self._batch_size / (time.monotonic() - self._started)
        self._bar.update(self._task, completed=step, loss=loss, rate=rate, speed=speed)
        if self._board is not None:
            self._board.add_training(step, {"loss": loss, "learning rate": rate, "images per second": speed})

    def report(self, step: int, loss: float, validation: Validation) -> None:
        """Print a validation, and record it."""
        figures = "  ".join(f"{name} {value:.3f}" for name, value in validation.scores.items())
        speed = self._bar.tasks[self._task].fields["speed"]
        self._bar.console.print(
            f"{self._stage} step {step}  loss {loss:.3f}  {speed:.0f} images/s  {validation.what}: {figures}",
            soft_wrap=True,
        )
        if self._board is not None:
            self._board.add_validation(step, validation.scores, validation.grid)
