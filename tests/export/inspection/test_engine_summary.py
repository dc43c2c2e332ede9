"""What `inspect` reports of an engine, with the inspector's JSON as its documentation and published dumps show it."""

import json
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lorair_export.bundle import EngineRecord, Graph, Manifest, Profile, TensorSpec, file_sha256, write_manifest
from lorair_export.inspection import Inspection, engine_summary
from lorair_export.inspection.engine_summary import EngineSummary, summary_of
from lorair_export.tensorrt.flavour import Flavour
from onnx import TensorProto, helper, save_model

CONV = {"LayerType": "CaskConvolution", "Outputs": [{"Name": "a", "Format/Datatype": "Row major linear FP16 format"}]}
LAYERS = [
    {"Name": "conv 1", **CONV},
    {"Name": "conv 2", **CONV},
    {"Name": "norm", "LayerType": "kgen", "Outputs": [{"Format/Datatype": "Float"}, {"Format/Datatype": "Half"}]},
    {"Name": "cast", "LayerType": "kgen", "Outputs": [{"Format/Datatype": "BFloat16"}]},
    {"Name": "signal", "LayerType": "signal", "Outputs": []},
]


def classic(layers) -> ModuleType:
    """A TensorRT whose engine, loaded from b"plan", has these layers; None does not load."""
    module = ModuleType("tensorrt_fake")

    class ILogger:
        WARNING, ERROR, INTERNAL_ERROR = range(3)

    class Runtime:
        def __init__(self, log) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes):
            assert plan == b"plan"
            self.log.log(ILogger.ERROR, "of another\nversion")
            return None if layers is None else engine_of(layers)

    module.__version__, module.ILogger, module.Runtime = "11.4.0.106", ILogger, Runtime
    module.LayerInformationFormat = IntEnum("LayerInformationFormat", {"ONELINE": 0, "JSON": 1})
    return module


def engine_of(layers):
    def information(form: IntEnum) -> str:
        assert form.name == "JSON"
        return json.dumps({"Layers": layers, "I/O Tensors": ["image"]})

    return SimpleNamespace(create_engine_inspector=lambda: SimpleNamespace(get_engine_information=information))


@pytest.fixture
def bundle(tmp_path):
    image, restored = (TensorSpec(name, "float32", (1, 3, 8, 8)) for name in ("image", "restored"))
    border = [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.shape) for each in (image, restored)]
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["restored"])], "graph", border[:1], border[1:])
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "model.onnx")
    (tmp_path / "model.plan").write_bytes(b"plan")
    profile = Profile(*[(1, 3, 8, 8)] * 3)
    manifest = Manifest(
        runtime="tensorrt",
        graphs=(Graph("model", "model.plan", (image,), (restored,), (8, 8), "model.onnx", (profile,)),),
        files={name: file_sha256(tmp_path / name) for name in ("model.plan", "model.onnx")},
        versions={},
        checkpoint="0" * 64,
        lowering="low-rank",
        precision="fp16",
        opset=20,
        max_batch=1,
        degradations=("noise",),
        local_window=None,
        engine=EngineRecord("tensorrt", "11.4.0.106", ("9.0",), opt_level=0),
    )
    write_manifest(tmp_path, manifest)
    return tmp_path


@pytest.fixture
def inspect(bundle, monkeypatch, run_command, capsys):
    def run(layers, *options: str, gpu: bool = True) -> str:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
        monkeypatch.setattr(engine_summary, "find_tensorrt", lambda kind: Flavour(classic(layers)))
        assert run_command("lorair-export", "inspect", bundle, "--size", "8x8", *options) == 0
        return capsys.readouterr().out

    return run


def test_layers_are_counted_by_type_and_by_what_they_write() -> None:
    summary = summary_of("model", engine_of(LAYERS), classic(LAYERS))
    types = {"CaskConvolution": 2, "kgen": 2, "signal": 1}
    assert summary == EngineSummary("model", 5, types, {"fp16": 2, "fp32": 1, "bf16": 1})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("FP8", "fp8"),
        ("E8M0", "E8M0"),
    ],
)
def test_datatypes_of_every_writing(text, name) -> None:
    layer = {"LayerType": "kgen", "Outputs": [{"Format/Datatype": text}]}
    assert dict(summary_of("model", engine_of([layer]), classic([])).writes) == {name: 1}


def test_inspect_prints_an_engine_s_layers(inspect, read_json) -> None:
    printed = inspect(LAYERS)
    assert "engine of model: 5 layers; of types CaskConvolution 2, kgen 2, signal 1; writing fp16 2, fp32 1" in printed
    assert "opt_level 0" in printed and "refit" not in printed and "not known" not in printed
    found = read_json(Inspection, inspect(LAYERS, "--json"))
    assert found["engines"][0]["layers"] == 5 and found["engines_unread"] == ""


def test_an_engine_of_names_only(inspect) -> None:
    assert "engine of model: 2 layers; built without their types" in inspect(["conv 1", "conv 2"])


def test_inspect_says_in_a_line_why_an_engine_is_not_read(inspect) -> None:
    (line,) = (line for line in inspect(LAYERS, gpu=False).splitlines() if "not known" in line)
    assert "NVIDIA GPU" in line
    (line,) = (line for line in inspect(None).splitlines() if "not known" in line)
    assert "model.plan does not load with TensorRT 11.4.0.106" in line and "of another version" in line
