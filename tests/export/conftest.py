"""Shared by the export tests: small models, each form of them exported once."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
import torch
from lorair_export import export_onnx
from lorair_export.bundle import Manifest
from lorair_export.graph.onnx import graph_metadata
from lorair_export.pipeline import onnx as exporting
from lorair_export.quantization import Calibration, bundle_in_8_bits
from lorair_export.spec import PRECISIONS, ROUTER, GraphSpec, Lowering, RoutingForm, chosen_opset
from lorair_export.tensorrt import Flavour, find_tensorrt

from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.model import LoRAIR, ModelConfig, RestorerConfig, RouterConfig, TowerConfig
from lorair.photographs import examples

WINDOW = 48
# A block at full and one at half resolution.
CONFIG = ModelConfig(
    degradations=("noise", "rain", "haze"),
    router=RouterConfig(
        tower=TowerConfig(image_size=32, patch_size=16, width=16, layers=1, head_width=8, embed_dim=8), top_k=2
    ),
    restorer=RestorerConfig(
        width=16, encoder_blocks=(1,), middle_blocks=1, decoder_blocks=(0,), rank=2, modulation_width=8,
        local_window=WINDOW,
    ),
)  # fmt: skip

# For 16 bits, which take a trace of their own: no more of each kind than it takes.
BRIEF = replace(CONFIG, degradations=("noise", "rain"), restorer=replace(CONFIG.restorer, middle_blocks=0))


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
    traces: int


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


# The smallest image has one pixel at half resolution, which torch would rather leave out.
FREE = GraphSpec(Lowering.MERGED, min_size=2, max_size=160)
MANY = replace(FREE, lowering=Lowering.LOW_RANK, max_batch=4)
PLAIN = {"lowering": Lowering.PLAIN, "max_batch": 4}
FORMS = {
    "merged": FREE,
    "low-rank": MANY,
    "split": replace(MANY, routing=RoutingForm.SPLIT),
    "split-merged": replace(FREE, routing=RoutingForm.SPLIT),
    "experts": replace(FREE, **PLAIN, routing=RoutingForm.EXPERTS),
    "pinned": replace(FREE, **PLAIN, routing=RoutingForm.PINNED, pinned="rain"),
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


class Exporter:
    """Exports bundles and counts their traces; a router that was exported already is copied."""

    def __init__(self) -> None:
        self.routers: dict[tuple[object, ...], onnx.ModelProto] = {}
        self.traces = 0

    def onnx_from_model(self, model: LoRAIR, path: Path, spec: GraphSpec, name: str) -> None:
        key = id(model), spec.opset, spec.max_batch > 1
        if name != ROUTER or key not in self.routers:
            self.exported(model, path, spec, name)
            self.routers |= {key: onnx.load(path)} if name == ROUTER else {}
            return
        graph = self.routers[key]
        onnx.helper.set_model_props(graph, graph_metadata(model, spec))
        onnx.save(graph, path)

    def exported(self, model: LoRAIR, path: Path, spec: GraphSpec, name: str) -> None:
        trace = torch.export.export

        def counted(*arguments, **named):
            self.traces += 1
            return trace(*arguments, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.export, "export", counted)
            ONNX_FROM_MODEL(model, path, spec, name)

    def bundle(self, checkpoint: Path, model: LoRAIR, folder: Path, spec: GraphSpec) -> Exported:
        before = self.traces
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(exporting, "onnx_from_model", self.onnx_from_model)
            patch.setattr("lorair_export.pipeline.sources.load", lambda *arguments: model)
            manifest = export_onnx(checkpoint, folder, spec, photographs=examples()[:3])
        return Exported(folder, manifest, model, checkpoint, self.traces - before)


ONNX_FROM_MODEL = exporting.onnx_from_model


@pytest.fixture(scope="session")
def form_of(request, tmp_path_factory) -> Callable[..., Exported]:
    """The bundle of one of `FORMS` in a precision, made once. Those of `MIXING` mix two experts per image.

    In 8 bits it is made of the one in float32, as a command makes it; in 16 bits of a smaller model and at one size,
    which takes a third of the time.
    """
    made: dict[tuple[str, str], Exported] = {}
    exporter = Exporter()

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
        return exporter.bundle(checkpoint, model, folder, spec)

    return get


@pytest.fixture
def graph_of_merged(merged, monkeypatch) -> None:
    """Commands copy the graph that the session has exported already, whatever they are asked for."""
    monkeypatch.setattr(
        exporting, "onnx_from_model", lambda model, path, spec, name: shutil.copy(merged.folder / "model.onnx", path)
    )


@pytest.fixture(scope="session")
def merged(form_of) -> Exported:
    return form_of("merged")


@pytest.fixture(scope="session")
def low_rank(form_of) -> Exported:
    return form_of("low-rank")


@pytest.fixture(scope="session", params=["merged", "low-rank"])
def exported(request, form_of) -> Exported:
    return form_of(request.param)
