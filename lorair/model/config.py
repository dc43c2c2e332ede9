"""Model configuration: frozen dataclasses and named presets as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorair.plain_data import dataclass_from_dict, dict_from_dataclass


@dataclass(frozen=True)
class TowerConfig:
    """A CLIP vision transformer, in open_clip's terms.

    Attributes:
        image_size: side of its square input in pixels.
        patch_size: side of a patch in pixels.
        width: channels of a token.
        layers: transformer blocks.
        head_width: channels of an attention head.
        embed_dim: channels of the projected embedding.
        mlp_ratio: hidden channels of a block's MLP, over `width`.
        quick_gelu: whether its activation is QuickGELU, as in OpenAI's weights, else GELU.
    """

    image_size: int
    patch_size: int
    width: int
    layers: int
    head_width: int
    embed_dim: int
    mlp_ratio: float = 4.0
    quick_gelu: bool = False

    @property
    def heads(self) -> int:
        return self.width // self.head_width


@dataclass(frozen=True)
class RouterConfig:
    """The tower, and how many experts an image may use.

    Attributes:
        tower: the CLIP vision transformer.
        top_k: the largest gates that are kept; the others are 0.
    """

    tower: TowerConfig
    top_k: int = 1

    @property
    def prior_dim(self) -> int:
        return self.tower.embed_dim // 2


@dataclass(frozen=True)
class RestorerConfig:
    """A NAFNet-shaped U-Net whose convolutions carry low-rank experts.

    Attributes:
        width: channels at full resolution; they double with every level.
        encoder_blocks: blocks of each level, from full resolution down.
        middle_blocks: blocks at the lowest resolution.
        decoder_blocks: blocks of each level, from the lowest resolution up.
        rank: of an expert's factors, the r of LoRA.
        modulation_width: hidden channels of the degradation-aware modulation.
        scale: of the experts, alpha / r in LoRA's terms.
        local_window: side of the channel attention's pooling window in image pixels (TLSC, arXiv 2112.04491), 1.5
            times the training crop as published; None for the mean of the whole image.
        decoder_modulation: whether decoder levels are modulated too, as in the paper's figure.
    """

    width: int
    encoder_blocks: tuple[int, ...]
    middle_blocks: int
    decoder_blocks: tuple[int, ...]
    rank: int
    modulation_width: int
    scale: float = 2.0
    local_window: int | None = 384
    decoder_modulation: bool = False

    @property
    def size_multiple(self) -> int:
        return 2 ** len(self.encoder_blocks)


@dataclass(frozen=True)
class ModelConfig:
    """A router, a restorer, and one expert per named degradation."""

    degradations: tuple[str, ...]
    router: RouterConfig
    restorer: RestorerConfig

    def __post_init__(self) -> None:
        experts = len(self.degradations)
        if len(set(self.degradations)) != experts or experts == 0:
            raise ValueError(f"degradations must be distinct names, at least one; got {self.degradations}")
        if not 1 <= self.router.top_k <= experts:
            raise ValueError(f"top_k must lie in 1..{experts} (one expert per degradation); got {self.router.top_k}")
        encoder, decoder = self.restorer.encoder_blocks, self.restorer.decoder_blocks
        if len(encoder) != len(decoder):
            raise ValueError(f"encoder and decoder need the same number of levels; got {encoder} and {decoder}")


VIT_L_14_336 = TowerConfig(
    image_size=336, patch_size=14, width=1024, layers=24, head_width=64, embed_dim=768, quick_gelu=True
)

PRESETS: dict[str, ModelConfig] = {
    "lorair-64": ModelConfig(
        degradations=("snow", "rain", "raindrop"),
        router=RouterConfig(tower=VIT_L_14_336),
        restorer=RestorerConfig(
            width=64,
            encoder_blocks=(1, 1, 1, 28),
            middle_blocks=1,
            decoder_blocks=(1, 1, 1, 1),
            rank=8,
            modulation_width=128,
        ),
    ),
    "tiny": ModelConfig(
        degradations=("noise", "rain", "haze", "snow", "low_light", "jpeg"),
        router=RouterConfig(
            tower=TowerConfig(image_size=192, patch_size=24, width=128, layers=4, head_width=32, embed_dim=128)
        ),
        restorer=RestorerConfig(
            width=16,
            encoder_blocks=(1, 1, 1, 4),
            middle_blocks=1,
            decoder_blocks=(1, 1, 1, 1),
            rank=4,
            modulation_width=32,
            local_window=144,
        ),
    ),
}


def config_to_dict(config: ModelConfig) -> dict[str, Any]:
    """Plain data (numbers, strings, lists, dicts) that `config_from_dict` reads back."""
    return dict_from_dataclass(config)


def config_from_dict(data: Mapping[str, object]) -> ModelConfig:
    """The inverse of `config_to_dict`. ValueError names a field that is missing, unknown or of a wrong type."""
    return dataclass_from_dict(ModelConfig, data, "config")
