import os
import shutil
from dataclasses import replace

import pytest
from google.protobuf import json_format, text_format
from lorair_export.bundle import EngineRecord, Graph, Manifest, Profile, TensorSpec, file_sha256, write_manifest
from lorair_export.errors import ExportError
from lorair_export.spec.routing_form import RoutingForm
from lorair_serving.repository.protobuf import config_from_text, text_from_config
from lorair_serving.repository.settings import ServedModel, Service
from lorair_serving.repository.writing import write_repository
from tritonclient.grpc.model_config_pb2 import ModelConfig

SERVICE = Service(tile=64, overlap=16, max_batch=4, instances=3)
ONLY = Graph(
    "model",
    "model.onnx",
    (TensorSpec("image", "float32", ("batch", 3, "height", "width")),),
    (
        TensorSpec("restored", "float32", ("batch", 3, "height", "width")),
        TensorSpec("gates", "float32", ("batch", 3)),
    ),
    (16, 512),
)
GRAPH = Manifest(
    runtime="onnx",
    graphs=(ONLY,),
    files={},
    versions={},
    checkpoint="",
    lowering="low-rank",
    precision="fp32",
    opset=20,
    max_batch=2,
    degradations=("noise", "rain", "haze"),
    local_window=None,
)


def bundle_of(manifest: Manifest, folder):
    folder.mkdir()
    file = folder / manifest.graphs[0].file
    file.write_bytes(b"artefact")
    write_manifest(folder, replace(manifest, files={file.name: file_sha256(file)}))
    return folder


def message_from(text):
    """Triton's own message, whose parser is the oracle of what is written."""
    return text_format.Parse(text, ModelConfig())


def configs_in(repository):
    return {path.parent.name: message_from(path.read_text()) for path in repository.glob("*/config.pbtxt")}


def dims(tensors):
    return {tensor.name: list(tensor.dims) for tensor in tensors}


def dims_of(sample):
    return {name: list(data.dims) for name, data in sample.items()}


def test_checkpoint_becomes_three_models(served_checkpoint, tmp_path):
    repository = tmp_path / "repository"
    write_repository(str(served_checkpoint), repository, SERVICE)
    configs = configs_in(repository)
    assert set(configs) == {"lorair", "router", "restorer"}
    assert all(config.name == name and config.backend == "python" for name, config in configs.items())
    assert dims(configs["router"].input) == {"views": [5, 3, 32, 32]}
    assert [configs[name].instance_group[0].count for name in ("lorair", "router", "restorer")] == [1, 1, 3]
    assert dims(configs["restorer"].input) == {"image": [3, 64, 64], "gates": [3], "prior": [4]}
    assert [configs[name].max_batch_size for name in ("lorair", "router", "restorer")] == [0, 4, 4]
    assert configs["restorer"].dynamic_batching.max_queue_delay_microseconds == 5000
    warm = {sample.batch_size: dict(sample.inputs) for sample in configs["restorer"].model_warmup}
    assert set(warm) == {1, 4}
    assert all(dims_of(sample) == dims(configs["restorer"].input) for sample in warm.values())
    assert (repository / "router/1/model.pt").read_bytes() == served_checkpoint.read_bytes()
    assert (repository / "lorair/1/priors.safetensors").is_file()


def test_processes_are_one_per_core_only_on_a_cpu(served_checkpoint, tmp_path):
    def processes(source, device):
        write_repository(
            str(source), tmp_path / "repository", replace(SERVICE, instances=None, device=device), overwrite=True
        )
        return configs_in(tmp_path / "repository")["restorer"].instance_group[0].count

    assert processes(served_checkpoint, "cpu") == len(os.sched_getaffinity(0))
    assert processes(served_checkpoint, "auto") == 1
    assert processes(bundle_of(GRAPH, tmp_path / "bundle"), "cpu") == 1


def test_bundle_is_served_by_the_backend_of_its_kind(tmp_path):
    write_repository(str(bundle_of(GRAPH, tmp_path / "bundle")), tmp_path / "repository", SERVICE)
    configs = configs_in(tmp_path / "repository")
    restorer = configs["restorer"]
    assert set(configs) == {"lorair", "restorer"}
    assert (restorer.backend, restorer.default_model_filename) == ("onnxruntime", "model.onnx")
    assert (restorer.max_batch_size, dims(restorer.input)) == (2, {"image": [3, -1, -1]})
    assert dims(restorer.output) == {"restored": [3, -1, -1], "gates": [3]}
    assert (tmp_path / "repository/restorer/1/model.onnx").read_bytes() == b"artefact"


def test_fixed_batch_is_part_of_the_shape(tmp_path):
    (image,) = ONLY.inputs
    one = replace(ONLY, inputs=(replace(image, shape=(1, *image.shape[1:])),))
    bundle = bundle_of(replace(GRAPH, graphs=(one,)), tmp_path / "bundle")
    write_repository(str(bundle), tmp_path / "repository", SERVICE)
    restorer = configs_in(tmp_path / "repository")["restorer"]
    assert (restorer.max_batch_size, dims(restorer.input)) == (0, {"image": [1, 3, -1, -1]})


def test_engine_config_holds_to_its_manifest(tmp_path):
    profile = Profile((1, 3, 64, 64), (2, 3, 64, 64), (2, 3, 256, 256))
    graph = replace(ONLY, file="model.fp32.trt10.15.1.sm90.plan", size_range=(64, 256), profiles=(profile,))
    engine = replace(
        GRAPH,
        runtime="tensorrt",
        graphs=(graph,),
        engine=EngineRecord("tensorrt", "10.15.1.29", ("9.0",)),
    )
    write_repository(str(bundle_of(engine, tmp_path / "bundle")), tmp_path / "repository", SERVICE)
    restorer = configs_in(tmp_path / "repository")["restorer"]
    assert (restorer.backend, restorer.default_model_filename) == ("tensorrt", graph.file)
    assert restorer.max_batch_size == 2
    assert restorer.parameters["tensorrt_version"].string_value == "10.15.1.29"
    graphs = restorer.optimization.cuda.graph_spec
    assert [(g.batch_size, list(g.input["image"].dim)) for g in graphs] == [(1, [3, 64, 64]), (2, [3, 64, 64])]
    assert restorer.max_batch_size <= profile.max[0]
    assert SERVICE.tile <= profile.max[2]


def test_an_engine_serves_a_tile_in_the_profile_for_it(tmp_path):
    profiles = tuple(Profile((1, 3, side, side), *[(most, 3, side, side)] * 2) for side, most in ((32, 4), (64, 2)))
    graph = replace(ONLY, file="model.fp32.trt10.15.1.sm90.plan", size_range=(32, 64), profiles=profiles)
    record = EngineRecord("tensorrt", "10.15.1.29", ("9.0",))
    bundle = bundle_of(replace(GRAPH, runtime="tensorrt", graphs=(graph,), engine=record), tmp_path / "bundle")
    write_repository(str(bundle), tmp_path / "repository", SERVICE)
    restorer = configs_in(tmp_path / "repository")["restorer"]
    assert (restorer.max_batch_size, list(restorer.instance_group[0].profile)) == (2, ["1"])
    with pytest.raises(ValueError, match=r"4x3x32x32, .*2x3x64x64; choose --tile"):
        write_repository(str(bundle), tmp_path / "other", replace(SERVICE, tile=48))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (EngineRecord("rtx", "1.7.1", ("8.6",)), "TensorRT-RTX"),
        (EngineRecord("tensorrt", "10.15.1.29", ("9.0",), strip_weights=True), "--strip-weights"),
    ],
)
def test_an_engine_that_triton_cannot_run_is_rejected(tmp_path, record, words):
    engine = replace(GRAPH, runtime="tensorrt", engine=record)
    with pytest.raises(ValueError, match=words):
        write_repository(str(bundle_of(engine, tmp_path / "bundle")), tmp_path / "repository", SERVICE)
    assert not (tmp_path / "repository").exists()


def test_a_bundle_that_routes_apart_is_rejected(tmp_path):
    """The front gives the artefact only images and takes gates from it."""
    split = replace(GRAPH, routing=RoutingForm.SPLIT)
    with pytest.raises(ExportError, match="takes --routing graph"):
        write_repository(str(bundle_of(split, tmp_path / "bundle")), tmp_path / "repository", SERVICE)
    eight_bit = replace(GRAPH, graphs=(replace(ONLY, inputs=(replace(ONLY.inputs[0], dtype="uint8"),)),))
    with pytest.raises(ExportError, match="--io float32"):
        write_repository(str(bundle_of(eight_bit, tmp_path / "other")), tmp_path / "repository", SERVICE)


def test_tile_must_fit_the_bundle(tmp_path):
    with pytest.raises(ValueError, match="16 to 512"):
        write_repository(str(bundle_of(GRAPH, tmp_path / "bundle")), tmp_path / "repository", Service(tile=1024))
    assert not (tmp_path / "repository").exists()


def test_nothing_is_overwritten_silently(served_checkpoint, tmp_path):
    repository = tmp_path / "repository"
    write_repository(str(served_checkpoint), repository, SERVICE)
    with pytest.raises(ExportError, match="--overwrite"):
        write_repository(str(served_checkpoint), repository, SERVICE)
    write_repository(str(served_checkpoint), repository, replace(SERVICE, max_batch=2), overwrite=True)
    assert configs_in(repository)["restorer"].max_batch_size == 2
    shutil.rmtree(repository / "lorair")
    with pytest.raises(ExportError, match="does not replace it"):
        write_repository(str(served_checkpoint), repository, SERVICE, overwrite=True)


def test_configuration_carries_the_served_model(served_checkpoint, tmp_path):
    write_repository(str(served_checkpoint), tmp_path / "repository", SERVICE)
    text = configs_in(tmp_path / "repository")["restorer"].parameters["service"].string_value
    served = ServedModel.from_config({"parameters": {"service": {"string_value": text}}})
    assert served == ServedModel(("noise", "rain", "haze"), 32, 4, "model.pt", SERVICE)


def test_schema_rejects_what_it_does_not_know():
    with pytest.raises(text_format.ParseError):
        config_from_text('name: "restorer" max_batchsize: 4')
    with pytest.raises(json_format.ParseError, match="max_batchsize"):
        text_from_config({"name": "restorer", "max_batchsize": 4})


@pytest.mark.parametrize("wrong", [{"tile": 0}, {"overlap": 200}, {"max_waiting": 0}, {"refresh_s": -1}])
def test_settings_reject_what_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).removesuffix("_s")):
        Service(**wrong)
