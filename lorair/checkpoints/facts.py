"""The description of a checkpoint, as a record."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lorair.checkpoints.checkpoint import Checkpoint, ClipReference
from lorair.checkpoints.files import FORMAT_VERSION, read_checkpoint
from lorair.model import RestorerConfig, RouterConfig


@dataclass(frozen=True)
class ParameterCounts:
    """Parameter counts of a checkpoint.

    Attributes:
        restorer: of the U-Net without its experts.
        experts: of all low-rank experts together.
        router: of the router; without the tower's where the checkpoint only refers to them.
    """

    restorer: int
    experts: int
    router: int


@dataclass(frozen=True)
class CheckpointFacts:
    """The description of a checkpoint.

    Attributes:
        checkpoint: its path, or `default`.
        format_version: of the file's format.
        degradations: the classes of the router, one expert each.
        parameters: its parameter counts.
        clip: where the CLIP tower's weights come from; null where the checkpoint holds them.
        accepts_degradation: whether a degradation can be named instead of routed, which needs mean priors.
        size_multiple: images are padded to a multiple of it, and cropped back.
        router: its configuration.
        restorer: its configuration.
        training: how the weights were trained and their measurements, as far as known.
    """

    checkpoint: str
    format_version: int
    degradations: tuple[str, ...]
    parameters: ParameterCounts
    clip: ClipReference | None
    accepts_degradation: bool
    size_multiple: int
    router: RouterConfig
    restorer: RestorerConfig
    training: Mapping[str, object]


def describe_checkpoint(path: str | Path) -> CheckpointFacts:
    """Read a checkpoint and describe it.

    Args:
        path: `*.pt`, `*.safetensors`, or `default`.

    Raises:
        CheckpointError: see `read_checkpoint`.
    """
    checkpoint = read_checkpoint(path)
    return CheckpointFacts(
        checkpoint=str(path),
        format_version=FORMAT_VERSION,
        degradations=checkpoint.config.degradations,
        parameters=_parameters(checkpoint),
        clip=checkpoint.clip,
        accepts_degradation=checkpoint.mean_priors is not None,
        size_multiple=checkpoint.config.restorer.size_multiple,
        router=checkpoint.config.router,
        restorer=checkpoint.config.restorer,
        training=checkpoint.training,
    )


def _parameters(checkpoint: Checkpoint) -> ParameterCounts:
    sizes = {name: tensor.numel() for name, tensor in checkpoint.state.items()}
    experts = sum(size for name, size in sizes.items() if name.endswith((".a", ".b")))
    restorer = sum(size for name, size in sizes.items() if name.startswith("restorer."))
    return ParameterCounts(restorer - experts, experts, sum(sizes.values()) - restorer)
