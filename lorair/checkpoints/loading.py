"""Build the model that a checkpoint describes."""

from pathlib import Path

import torch

from lorair.checkpoints.checkpoint import Checkpoint
from lorair.checkpoints.clip import state_of_clip
from lorair.checkpoints.files import DEFAULT, read_checkpoint
from lorair.errors import CheckpointError
from lorair.model import LoRAIR
from lorair.system import resolve_device


def load(path: str | Path = DEFAULT, device: str = "auto", clip_weights: str | Path | None = None) -> LoRAIR:
    """Load a checkpoint as a model that is ready to restore: in evaluation mode, its parameters float32.

    Example:
        >>> import lorair, torch
        >>> model = lorair.load(device="cpu")
        >>> model.degradations
        ('noise', 'rain', 'haze', 'snow', 'low_light', 'jpeg')
        >>> with torch.inference_mode():
        ...     restored = model(torch.rand(1, 3, 48, 64))
        >>> restored.shape
        torch.Size([1, 3, 48, 64])

    Args:
        path: `*.pt`, `*.safetensors`, or `default` for the small demonstration model inside the package.
        device: `auto` (a GPU where torch sees one), `cpu`, `cuda` or `cuda:N`.
        clip_weights: local file of the CLIP weights that the checkpoint refers to; None lets open_clip find them,
            which may download them.

    Returns:
        A module that restores floating images `[B, 3, H, W]` in [0, 1], of any size; see `LoRAIR.forward`.

    Raises:
        CheckpointError: the file is missing, truncated, not a checkpoint, of a newer format, or contains code; or its
            weights do not fit its configuration.
        RuntimeUnavailableError: the device is not available.
    """
    target = resolve_device(device)
    return model_of(read_checkpoint(path), str(path), clip_weights).to(target)


def model_of(checkpoint: Checkpoint, where: str = "checkpoint", clip_weights: str | Path | None = None) -> LoRAIR:
    """The model that a checkpoint describes, on the CPU, in evaluation mode.

    Args:
        checkpoint: configuration and weights.
        where: what errors call the checkpoint, such as its path.
        clip_weights: as for `load`.

    Raises:
        CheckpointError: the weights do not fit the configuration, or are not those of CLIP that it refers to.
    """
    model = LoRAIR(checkpoint.config)
    state = dict(checkpoint.state)
    if checkpoint.clip is not None:
        state |= state_of_clip(checkpoint.clip, clip_weights)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{where}: weights do not fit the configuration: {reason}") from error
    model.mean_priors = checkpoint.mean_priors
    return model.eval().to(memory_format=torch.channels_last)
