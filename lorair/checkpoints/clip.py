"""The frozen CLIP tower: its weights are in the checkpoint, or the checkpoint names them and open_clip loads them."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from lorair.checkpoints.checkpoint import TOWER, Checkpoint, ClipReference, checkpoint_of, tensors_sha256
from lorair.errors import CheckpointError
from lorair.model import LoRAIR, ModelConfig


def checkpoint_of_clip(config: ModelConfig, source: str) -> Checkpoint:
    """A checkpoint with CLIP's tower and otherwise random weights, to start router training from.

    Args:
        config: of the model.
        source: open_clip's `MODEL/TAG`, which open_clip may download, or `MODEL/FILE` with a file of its weights.

    Raises:
        ValueError: the source does not have this form.
        CheckpointError: open_clip cannot load it, or its tower differs from that of `config`.
    """
    name, _, pretrained = source.partition("/")
    if not (name and pretrained):
        raise ValueError(f"CLIP weights must be named MODEL/TAG or MODEL/FILE; got {source!r}")
    model = LoRAIR(config)
    try:
        model.router.tower.load_state_dict(_tower_of_clip(name, pretrained))
    except RuntimeError as error:
        raise CheckpointError(f"{source} does not fit the model's tower: {' '.join(str(error).split())}") from error
    return checkpoint_of(model)


def refer_to_clip(checkpoint: Checkpoint, reference: str) -> Checkpoint:
    """The checkpoint without its tower's weights; `reference`, an open_clip `MODEL/TAG`, names them instead.

    Raises:
        ValueError: the reference does not have this form, or the checkpoint holds no tower.
    """
    name, slash, tag = reference.partition("/")
    tower = {key.removeprefix(TOWER): tensor for key, tensor in checkpoint.state.items() if key.startswith(TOWER)}
    if not (name and slash and tag and tower):
        raise ValueError(
            f"a CLIP reference must be MODEL/TAG, and the checkpoint must hold the tower; got {reference!r}"
        )
    rest = {key: tensor for key, tensor in checkpoint.state.items() if not key.startswith(TOWER)}
    return replace(checkpoint, state=rest, clip=ClipReference(name, tag, tensors_sha256(tower)))


def state_of_clip(clip: ClipReference, weights: str | Path | None) -> dict[str, Tensor]:
    """The tower's tensors that a checkpoint refers to, by our names.

    Args:
        clip: the checkpoint's reference.
        weights: a local file of them; None lets open_clip find them by their tag, which may download them.

    Raises:
        CheckpointError: open_clip cannot load them, or they differ from those that the checkpoint was trained with.
    """
    try:
        state = _tower_of_clip(clip.name, str(weights or clip.tag))
    except CheckpointError as error:
        raise CheckpointError(
            f"the checkpoint refers to CLIP weights {clip.name}/{clip.tag}: {error}; "
            "give a local file with --clip-weights, or embed them with 'lorair convert'"
        ) from error
    if tensors_sha256(state) != clip.sha256:
        raise CheckpointError(f"CLIP weights {clip.name}/{clip.tag} are not the ones this checkpoint was trained with")
    return {TOWER + name: tensor for name, tensor in state.items()}


def _tower_of_clip(name: str, pretrained: str) -> dict[str, Tensor]:
    """The vision tower of an open_clip model; `pretrained` is a tag, which open_clip may download, or a file."""
    import open_clip

    try:
        visual = open_clip.create_model(name, pretrained=pretrained).visual
    except (RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f"open_clip could not load {name} with {pretrained} ({' '.join(str(error).split())}); "
            "without a network, name a file of the weights instead of a tag"
        ) from error
    assert isinstance(visual, nn.Module)
    return {name: tensor.float() for name, tensor in visual.state_dict().items()}
