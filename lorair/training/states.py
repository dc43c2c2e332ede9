"""The states from which an interrupted stage resumes: the newest few, each written aside and then renamed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import torch
from torch import Tensor

from lorair.errors import TrainingError
from lorair.system import written_aside


class StageState(TypedDict):
    """All that a stage needs to resume: state_dicts of what it consists of, and its best score so far."""

    step: int
    best: float
    model: dict[str, Tensor]
    optimizer: dict[str, Any]  # of tensors and numbers, nested as torch's optimisers nest them
    scaler: dict[str, Any]
    average: NotRequired[dict[str, Tensor]]


class StageIdentity(TypedDict):
    """What a stage's states must agree in: its recipe as plain data, and the seed of its batches."""

    stage: str
    recipe: Mapping[str, object]
    seed: list[int]


@dataclass(frozen=True)
class States:
    """The states of one stage in a run's folder, `STAGE-STEP.state`, of which the `keep` newest stay.

    A state of another identity is rejected.
    """

    folder: Path
    identity: StageIdentity
    keep: int = 3

    def write(self, state: StageState) -> None:
        """Keep a state under its step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_aside(self.folder / f"{self.identity['stage']}-{state['step']:08d}.state") as aside:
            torch.save({"identity": self.identity, **state}, aside)
        for old in self._paths()[: -self.keep]:
            old.unlink()

    def newest(self) -> StageState | None:
        """The state to resume from, on the CPU; None before the first one.

        Raises TrainingError where it cannot be read, or belongs to another recipe or seed.
        """
        paths = self._paths()
        if not paths:
            return None
        try:
            state = torch.load(paths[-1], map_location="cpu", weights_only=True)
            same = state.pop("identity") == self.identity
        except Exception as error:  # torch raises nearly any exception on a damaged file
            raise TrainingError(
                f"{paths[-1]} is damaged ({error}): remove it, and the run resumes from the state before it"
            ) from error
        if not same:
            raise TrainingError(
                f"{paths[-1]} belongs to a run with another recipe or seed; repeat its command to resume it, "
                "or name another output folder"
            )
        return cast(StageState, state)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.identity['stage']}-*.state"))
