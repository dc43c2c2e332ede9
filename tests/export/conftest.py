"""Shared by the export tests: small models, each form of them exported once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from lorair_export.bundle import Manifest
from lorair_export.pipeline.onnx import bundle_from_checkpoint
from lorair_export.quantization.bundle_precision import bundle_in_8_bits
from lorair_export.quantization.calibration import Calibration
from lorair_export.spec import GraphSpec, Lowering
from lorair_export.spec.precision import PRECISIONS, chosen_opset
from lorair_export.spec.routing_form import RoutingForm
from lorair_export.tensorrt.flavour import Flavour, find_tensorrt

from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.model.config import ModelConfig, RestorerConfig, RouterConfig, TowerConfig
from lorair.model.lorair import LoRAIR
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

# For 16 bits, which take a trace of their own: no more of each kind than it takes.
BRIEF = replace(
    CONFIG,
    degradations=("noise", "rain"),
    restorer=replace(CONFIG.restorer, middle_blocks=0, decoder_blocks=(0,)),
)


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
def top1_model(make_model) -> LoRAIR:
    return make_model(top_k=1, config=CONFIG)


@pytest.fixture(scope="session")
def top1_checkpoint(top1_model, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("top1") / "best.pt"
    write_checkpoint(path, checkpoint_of(top1_model))
    return path


@pytest.fixture(scope="session")
def brief_models(make_model, tmp_path_factory) -> dict[int, tuple[LoRAIR, Path]]:
    """A model of two blocks and its checkpoint, by the experts that it mixes."""
    made: dict[int, tuple[LoRAIR, Path]] = {}
    for top_k in (1, 2):
        model, path = make_model(top_k=top_k, config=BRIEF), tmp_path_factory.mktemp("brief") / "best.pt"
        write_checkpoint(path, checkpoint_of(model))
        made[top_k] = model, path
    return made


FORMS = {
    "merged": GraphSpec(Lowering.MERGED, max_size=160),
    "low-rank": GraphSpec(Lowering.LOW_RANK, max_batch=4, max_size=160),
    "split": GraphSpec(Lowering.LOW_RANK, max_batch=4, max_size=160, routing=RoutingForm.SPLIT),
    "split-merged": GraphSpec(Lowering.MERGED, max_size=160, routing=RoutingForm.SPLIT),
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
MIXING = ("merged", "low-rank", "split-merged")


@pytest.fixture(scope="session")
def form_of(request, tmp_path_factory) -> Callable[..., Exported]:
    """The bundle of one of ``FORMS`` in a precision, made once. Those of ``MIXING`` mix two experts per image.

    In 8 bits it is made of the one in float32, as a command makes it; in 16 bits of a smaller model and at one size,
    which takes a third of the time.
    """
    made: dict[tuple[str, str], Exported] = {}

    def get(name: str, precision: str = "fp32") -> Exported:
        if (name, precision) not in made:
            made[name, precision] = make(name, precision)
        return made[name, precision]

    def make(name: str, precision: str) -> Exported:
        folder = tmp_path_factory.mktemp(name) / "bundle"
        if PRECISIONS[precision].eight_bit:
            source = get(name)
            manifest = bundle_in_8_bits(source.folder, folder, precision, Calibration(size=3))
            return replace(source, folder=folder, manifest=manifest)
        spec = FORMS[name]
        if precision == "fp32":
            prefix = "export" if name in MIXING else "top1"
            model, checkpoint = (request.getfixturevalue(f"{prefix}_{what}") for what in ("model", "checkpoint"))
        else:
            model, checkpoint = request.getfixturevalue("brief_models")[2 if name in MIXING else 1]
            opset = chosen_opset(None, precision)[0]
            spec = replace(spec, precision=precision, opset=opset, shape=(48, 64), fixed_batch=True)
        return Exported(folder, bundle_from_checkpoint(checkpoint, folder, spec, examples()[:3]), model, checkpoint)

    return get


@pytest.fixture(scope="session")
def merged(form_of) -> Exported:
    return form_of("merged")


@pytest.fixture(scope="session")
def low_rank(form_of) -> Exported:
    return form_of("low-rank")


@pytest.fixture(scope="session", params=["merged", "low-rank"])
def exported(request, form_of) -> Exported:
    return form_of(request.param)
