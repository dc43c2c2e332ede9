"""Shared by all test folders: small models whose every part matters."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lorair.model.config import PRESETS, ModelConfig, RestorerConfig, RouterConfig, TowerConfig
from lorair.model.lorair import LoRAIR

# Read when triton is first imported, which torchvision does: without a GPU its kernels run in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

SMALL = ModelConfig(
    degradations=("noise", "rain", "haze", "snow"),
    router=RouterConfig(
        tower=TowerConfig(image_size=32, patch_size=8, width=32, layers=2, head_width=16, embed_dim=16)
    ),
    restorer=RestorerConfig(
        width=16, encoder_blocks=(1, 2), middle_blocks=1, decoder_blocks=(1, 1), rank=3, modulation_width=12,
        local_window=48,
    ),
)  # fmt: skip


@pytest.fixture
def small_config() -> ModelConfig:
    return SMALL


@pytest.fixture(scope="session")
def make_model() -> Callable[..., LoRAIR]:
    """A small model with random experts, scales and norms, none of which starts at a neutral value."""

    def make(top_k: int = 1, seed: int = 0, config: ModelConfig = SMALL) -> LoRAIR:
        torch.manual_seed(seed)
        model = LoRAIR(replace(config, router=replace(config.router, top_k=top_k))).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith((".beta", ".gamma")):
                    parameter.uniform_(-0.5, 0.5)
                elif name.endswith(".b"):
                    parameter.normal_(0, 0.1)
                elif "norm" in name:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        model.mean_priors = torch.randn(len(config.degradations), config.router.prior_dim)
        return model

    return make


@pytest.fixture
def presets() -> dict[str, ModelConfig]:
    return dict(PRESETS)
