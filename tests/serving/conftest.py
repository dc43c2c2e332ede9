"""Shared by the serving tests: one real tritonserver over a small model."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from lorair_serving.repository.settings import Service
from lorair_serving.repository.writing import write_repository
from lorair_serving.server.ports import Ports
from lorair_serving.server.process import Server, running_server

from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.model.config import ModelConfig, RestorerConfig, RouterConfig, TowerConfig

TILE = 64
SERVICE = Service(
    tile=TILE, overlap=16, max_batch=4, workers=4, max_waiting=8, max_pixels=400_000, max_bytes=2**20, device="cpu",
    refresh_s=60,
)  # fmt: skip
CONFIG = ModelConfig(
    degradations=("noise", "rain", "haze"),
    router=RouterConfig(
        tower=TowerConfig(image_size=32, patch_size=16, width=16, layers=1, head_width=8, embed_dim=8), top_k=2
    ),
    restorer=RestorerConfig(
        width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,), rank=2, modulation_width=8, local_window=48
    ),
)


@pytest.fixture(scope="session")
def served_checkpoint(make_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("served") / "best.pt"
    write_checkpoint(path, checkpoint_of(make_model(top_k=2, config=CONFIG)))
    return path


@pytest.fixture(scope="session")
def server(can_serve, served_checkpoint, tmp_path_factory) -> Iterator[Server]:
    repository = tmp_path_factory.mktemp("serve") / "repository"
    write_repository(str(served_checkpoint), repository, SERVICE)
    with running_server(repository, Ports.free()) as server:
        yield server
        # An orderly stop unloads one model after the other, and waits longest for one that a test has killed.
        for process in psutil.Process(server.process.pid).children(recursive=True):
            process.kill()
        server.process.kill()


@pytest.fixture
def address(server) -> str:
    return f"127.0.0.1:{server.ports.grpc}"
