"""The checkpoint: a model as tensors and plain data, and how to make one from a model in memory."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lorair.model import LoRAIR, ModelConfig

TOWER = "router.tower."


@dataclass(frozen=True)
class ClipReference:
    """Where a frozen tower's weights come from.

    Attributes:
        name: a model of open_clip.
        tag: open_clip's name of its pretrained weights.
        sha256: of the tower's tensors, as `tensors_sha256` computes it.
    """

    name: str
    tag: str
    sha256: str


@dataclass(frozen=True)
class Checkpoint:
    """A model as tensors and plain data.

    Attributes:
        config: the model's configuration.
        state: parameter names of `LoRAIR` to tensors; the tower's are absent where `clip` names their source.
        mean_priors: `[E, P]`, None if they were not measured.
        clip: where the tower's weights come from, None where `state` has them.
        training: a summary of the training as plain data; empty if unknown.
    """

    config: ModelConfig
    state: Mapping[str, Tensor]
    mean_priors: Tensor | None = None
    clip: ClipReference | None = None
    training: Mapping[str, object] = field(default_factory=dict[str, object])


def checkpoint_of(
    model: LoRAIR, training: Mapping[str, object] | None = None, clip: ClipReference | None = None
) -> Checkpoint:
    """The checkpoint of a model in memory; with `clip` the tower's weights are left to that reference."""
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if name != "mean_priors"}
    if clip is not None:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(TOWER)}
    priors = None if model.mean_priors is None else model.mean_priors.detach().cpu()
    return Checkpoint(config=model.config, state=state, mean_priors=priors, clip=clip, training=training or {})


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
