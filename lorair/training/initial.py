"""What a stage starts from: the stage before it, a checkpoint, or random weights."""

import torch
from torch import nn

from lorair.checkpoints import Checkpoint, model_of, read_checkpoint
from lorair.errors import TrainingError
from lorair.model import LoRAIR, ModelConfig
from lorair.training.folder import RunFolder
from lorair.training.recipes import ORDER, StageName


def earlier_stages(name: StageName) -> tuple[StageName, ...]:
    """The stages that come before one, in order."""
    return ORDER[: ORDER.index(name)]


def checkpoint_before(
    name: StageName, folder: RunFolder, config: ModelConfig, start: Checkpoint | None
) -> Checkpoint | None:
    """What a stage builds on: the stage before it in the run's folder, else the checkpoint to start from.

    The router may build on a checkpoint of which only the tower fits the model, such as CLIP's.

    Raises:
        TrainingError: there is neither, or the checkpoint to start from does not fit the model.
    """
    if earlier := earlier_stages(name):
        path = folder.stage(earlier[-1])
        if path.exists():
            return read_checkpoint(path)
        if start is None:
            raise TrainingError(f"stage {name} builds on {path}, which is missing: train that stage first")
    if start is None or start.config == config:
        return start
    if start.config.router.tower != config.router.tower:
        raise TrainingError("the tower of the checkpoint to start from differs from the model's")
    if name != "router":
        raise TrainingError(
            "the experts or sizes of the checkpoint to start from differ from the model's, so only its tower can be "
            "used: train the router stage first"
        )
    return start


def initial_model(config: ModelConfig, before: Checkpoint | None) -> LoRAIR:
    """The model before a stage's first step: the checkpoint's, else one of random weights with its tower, if any."""
    if before is not None and before.config == config:
        return model_of(before)
    model = LoRAIR(config)
    if before is None:
        weight_by_frequency(model.router.tower.conv1)
    else:
        model.router.tower.load_state_dict(model_of(before).router.tower.state_dict())
    return model


def weight_by_frequency(patches: nn.Conv2d) -> None:
    """Multiply the spectrum of random patch filters, in place, by the square of the spatial frequency.

    A photograph's amplitudes fall with the frequency, so that equal filters see only its coarse content; what
    distinguishes degradations (grain, streaks, block edges) is fine. Frequencies are in cycles per patch; below
    one cycle the spectrum stays.
    """
    weight = patches.weight
    height, width = weight.shape[-2:]
    y, x = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    gain = (y[:, None] ** 2 + x[None, :] ** 2).clamp(min=1)
    with torch.no_grad():
        weight.copy_(torch.fft.irfft2(torch.fft.rfft2(weight) * gain, s=(height, width)))
