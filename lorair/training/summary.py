"""What a checkpoint records of a stage: its recipe, and what was measured of its best weights."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from typing import Final, TypedDict, cast

import torch

from lorair.checkpoints import Checkpoint
from lorair.model import LoRAIR
from lorair.plain_data import dict_from_dataclass
from lorair.training.data import DataFacts, TrainingData
from lorair.training.processes import Processes
from lorair.training.recipes import ORDER, Recipe, StageName
from lorair.training.validation import mean_priors, quality, router_accuracy

PERIODIC_CROP: Final = 256
FINAL_CROP: Final = 512
PRIOR_BATCHES: Final = 32


class StageFacts(TypedDict):
    """A stage's recipe as plain data, and its validation: the router's accuracy by crop and degradation, or the
    restorer's `Quality` by degradation."""

    recipe: Mapping[str, object]
    validation: Mapping[str, Mapping[str, float]]


class TrainingFacts(DataFacts):
    """How a checkpoint's weights came about, as plain data."""

    lorair: str
    torch: str
    seed: int
    stages: dict[str, StageFacts]


def stages_of(checkpoint: Checkpoint) -> dict[str, StageFacts]:
    """What a checkpoint records of each stage; empty where it does not say how it was trained."""
    return dict(cast(Mapping[str, StageFacts], checkpoint.training.get("stages", {})))


def completed(
    name: StageName,
    checkpoint: Checkpoint,
    model: LoRAIR,
    data: TrainingData,
    recipe: Recipe,
    seed: int,
    processes: Processes,
) -> Checkpoint:
    """A stage's checkpoint with its facts, and after the router stage with the mean priors.

    `model` is the checkpoint's, on the process's device. Every process must call this.
    """
    priors = checkpoint.mean_priors
    if name == "router":
        # Crops as the router was trained on and as the restorer will be, none of them trained on.
        streams = (data.batches(recipe[stage], PRIOR_BATCHES, (seed, ORDER.index(stage), 1)) for stage in ORDER[:2])
        shares = (batch for stream in streams for batch in stream.share(processes.rank, processes.count))
        priors = mean_priors(model, shares, processes)
        validation = {
            str(crop or "whole"): router_accuracy(model, processes.share(data.validation(crop)), processes)
            for crop in (None, FINAL_CROP, PERIODIC_CROP)
        }
    else:
        figures = quality(model, processes.share(data.validation(FINAL_CROP)), processes)
        validation = {kind: dict_from_dataclass(means) for kind, means in figures.items()}
    stage: StageFacts = {"recipe": dict_from_dataclass(recipe[name]), "validation": validation}
    facts: TrainingFacts = {
        **data.facts,
        "lorair": version("lorair"),
        "torch": str(torch.__version__),
        "seed": seed,
        "stages": {**stages_of(checkpoint), name: stage},
    }
    return replace(checkpoint, mean_priors=priors, training=facts)
