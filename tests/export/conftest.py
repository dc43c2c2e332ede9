"""Shared by the export tests: one small model, exported once in both lowerings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from lorair_export.bundle import bundle_from_checkpoint
from lorair_export.flavour import Flavour, find_tensorrt
from lorair_export.lowering import Lowering
from lorair_export.manifest import Manifest
from lorair_export.onnx import GraphSpec
from lorair_export.routing_form import RoutingForm

from lorair.checkpoint import checkpoint_of, write_checkpoint
from lorair.config import ModelConfig, RestorerConfig, RouterConfig, TowerConfig
from lorair.model import LoRAIR
from lorair.photographs import examples

WINDOW = 48
CONFIG = ModelConfig(
    degradations=("noise", "rain", "haze"),
    router=RouterConfig(
        tower=TowerConfig(image_size=32, patch_size=16, width=16, layers=1, head_width=8, embed_dim=8), top_k=2
    ),
    restorer=RestorerConfig(
        width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(1,), rank=2, modulation_width=8,
        local_window=WINDOW,
    ),
)  # fmt: skip


@pytest.fixture
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx_bindings")
    return find_tensorrt("rtx")


@dataclass(frozen=True)
class Exported:
    """A bundle and the model that it was made from."""

    folder: Path
    manifest: Manifest
    model: LoRAIR
    checkpoint: Path


@pytest.fixture(scope="session")
def export_model(make_model) -> LoRAIR:
    return make_model(top_k=2, config=CONFIG)


@pytest.fixture(scope="session")
def export_checkpoint(export_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "best.pt"
    write_checkpoint(path, checkpoint_of(export_model))
    return path


@pytest.fixture(scope="session")
def merged(export_model, export_checkpoint, tmp_path_factory) -> Exported:
    spec = GraphSpec(Lowering.MERGED, max_size=160)
    return _exported(spec, export_model, export_checkpoint, tmp_path_factory.mktemp("merged"))


@pytest.fixture(scope="session")
def low_rank(export_model, export_checkpoint, tmp_path_factory) -> Exported:
    spec = GraphSpec(Lowering.LOW_RANK, max_batch=4, max_size=160)
    return _exported(spec, export_model, export_checkpoint, tmp_path_factory.mktemp("low-rank"))


@pytest.fixture(scope="session")
def top1_model(make_model) -> LoRAIR:
    return make_model(top_k=1, config=CONFIG)


@pytest.fixture(scope="session")
def top1_checkpoint(top1_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("top1") / "best.pt"
    write_checkpoint(path, checkpoint_of(top1_model))
    return path


FORMS = {
    "bank": GraphSpec(Lowering.BANK, max_size=160),
    "split": GraphSpec(Lowering.LOW_RANK, max_batch=4, max_size=160, routing=RoutingForm.SPLIT),
    "experts": GraphSpec(Lowering.PLAIN, max_batch=4, max_size=160, routing=RoutingForm.EXPERTS),
    "pinned": GraphSpec(Lowering.PLAIN, max_batch=4, max_size=160, routing=RoutingForm.PINNED, pinned="rain"),
    "tiles": GraphSpec(
        Lowering.PLAIN,
        max_batch=3,
        shape=(48, 64),
        fixed_batch=True,
        routing=RoutingForm.PINNED,
        pinned="haze",
        io="uint8",
    ),
}


@pytest.fixture(scope="session")
def form_of(top1_model, top1_checkpoint, tmp_path_factory) -> Callable[[str], Exported]:
    """The bundle of one of ``FORMS``, exported once."""
    made: dict[str, Exported] = {}

    def get(name: str) -> Exported:
        if name not in made:
            made[name] = _exported(FORMS[name], top1_model, top1_checkpoint, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.fixture(scope="session", params=["merged", "low_rank"])
def exported(request) -> Exported:
    return request.getfixturevalue(request.param)


def _exported(spec, model, checkpoint, folder) -> Exported:
    manifest = bundle_from_checkpoint(checkpoint, folder / "bundle", spec, examples()[:3])
    return Exported(folder / "bundle", manifest, model, checkpoint)
