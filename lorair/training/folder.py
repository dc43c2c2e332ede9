"""The folder of a run, and what each file in it is for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorair.checkpoints import Checkpoint, write_checkpoint
from lorair.system import remove_unfinished, write_text
from lorair.training.recipes import StageName


@dataclass(frozen=True)
class RunFolder:
    """`STAGE.pt`, a stage's best weights; `best.pt`, the latest stage's; `run.json`, the calls; and two folders."""

    path: Path

    @property
    def best(self) -> Path:
        return self.path / "best.pt"

    @property
    def states(self) -> Path:
        """States from which an interrupted stage resumes."""
        return self.path / "states"

    @property
    def boards(self) -> Path:
        """TensorBoard's files, a folder for each stage."""
        return self.path / "tensorboard"

    def stage(self, name: StageName) -> Path:
        return self.path / f"{name}.pt"

    def prepare(self) -> None:
        """Make the folder, and remove what a killed run was writing."""
        self.path.mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.states):
            remove_unfinished(folder)

    def write(self, name: StageName, checkpoint: Checkpoint) -> None:
        """Write a stage's checkpoint as the best one too.

        The stage's own file is the last: where a run is killed between the two, the stage is completed again.
        """
        for path in (self.best, self.stage(name)):
            write_checkpoint(path, checkpoint)

    def record(self, call: Mapping[str, object]) -> None:
        """Append a call, plain data, to `run.json`."""
        path = self.path / "run.json"
        calls: list[object] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        write_text(path, json.dumps([*calls, call], indent=2) + "\n")
