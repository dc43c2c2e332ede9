"""Shared by all test folders: small models whose every part matters, our programs, and what they print as JSON."""

import json
import os
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from lorair.cli.schema import schema_of
from lorair.model import PRESETS, LoRAIR, ModelConfig, RestorerConfig, RouterConfig, TowerConfig

# Read when triton is first imported, which torchvision does: without a GPU its kernels run in the interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).parents[1]
PROGRAMS = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]["scripts"]

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
                elif name.endswith("modulation.conv3.bias"):
                    parameter.add_(1)  # before a ReLU of few channels, which could all be 0 for every prior
                elif "norm" in name:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        model.mean_priors = torch.randn(len(config.degradations), config.router.prior_dim)
        return model

    return make


@pytest.fixture
def presets() -> dict[str, ModelConfig]:
    return dict(PRESETS)


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run one of our programs in this process: `run_command("lorair", "info", path)` -> its exit code.

    What it prints is in pytest's capsys or capfd.
    """

    def run(program: str, *arguments: object) -> int:
        module, main = PROGRAMS[program].split(":")
        monkeypatch.setattr(sys, "argv", [program, *map(str, arguments)])
        try:
            getattr(import_module(module), main)()
        except SystemExit as ended:
            assert ended.code is None or isinstance(ended.code, int)
            return ended.code or 0
        return 0

    return run


@pytest.fixture(scope="session")
def read_json() -> Callable[[type, str], Any]:
    """What a command printed with --json, as plain data: `read_json(CheckpointFacts, out)`.

    It must fit the schema of its class, and hold no NaN and no infinity, which JSON has not.
    """

    def reject(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    def read(record: type, text: str) -> Any:
        data = json.loads(text, parse_constant=reject)
        jsonschema.validate(data, schema_of(record), cls=jsonschema.Draft202012Validator)
        return data

    return read


@pytest.fixture(scope="session")
def can_serve() -> None:
    """Skips where no tritonserver can be installed by serving/tritonserver.txt."""
    if sys.platform != "linux" or sys.version_info >= (3, 13):
        pytest.skip("no tritonserver outside NVIDIA's container for this system or Python version")
