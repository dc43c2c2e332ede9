"""The states from which an interrupted stage goes on: the last few, each written aside and then renamed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorair.errors import TrainingError
from lorair.system import written_aside


@dataclass(frozen=True)
class States:
    """The states of one stage in a run's folder, `STAGE-STEP.state`, of which the `keep` newest stay.

    `identity` is plain data that tells the stage, its recipe and its seed; a state of another one is refused.
    """

    folder: Path
    stage: str
    identity: Mapping[str, Any]
    keep: int = 3

    def write(self, step: int, state: Mapping[str, Any]) -> None:
        """Keep tensors and plain data as the state after `step` steps."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.stage}-{step:08d}.state"
        with written_aside(path) as aside:
            torch.save({"identity": dict(self.identity), "step": step, **state}, aside)
        for old in self._paths()[: -self.keep]:
            old.unlink()

    def newest(self) -> dict[str, Any] | None:
        """The state to go on from, on the CPU; None before the first one.

        Raises TrainingError where it cannot be read, or belongs to another recipe or seed.
        """
        paths = self._paths()
        if not paths:
            return None
        try:
            state: dict[str, Any] = torch.load(paths[-1], map_location="cpu", weights_only=True)
            same = state["identity"] == self.identity
        except Exception as error:  # torch raises nearly any exception on a damaged file
            raise TrainingError(
                f"{paths[-1]} is damaged ({error}): remove it, and the run goes on from the state before it"
            ) from error
        if not same:
            raise TrainingError(
                f"{paths[-1]} belongs to a run with another recipe or seed; repeat its command to go on with it, "
                "or name another output folder"
            )
        return state

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.stage}-*.state"))
