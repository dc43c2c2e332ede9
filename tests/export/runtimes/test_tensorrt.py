"""A bundle's engines, loaded and called as on a GPU, computing on the CPU."""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from lorair_export.bundle import EngineRecord, Profile, TensorSpec
from lorair_export.errors import ExportError
from lorair_export.runtimes.tensorrt import EngineRuntime
from lorair_export.spec.routing_form import RoutingForm
from lorair_export.tensorrt.engine import KEPT_SHAPES, profile_for
from lorair_export.tensorrt.flavour import Flavour

from lorair.errors import RuntimeUnavailableError
from lorair.model.router import Routing

SMALL = Profile((1, 3, 16, 16), (1, 3, 32, 32), (1, 3, 32, 32))
LARGE = Profile((1, 3, 16, 16), (2, 3, 64, 64), (4, 3, 64, 96))


def test_profile_is_the_first_that_holds_the_shape() -> None:
    shapes = [(1, 3, 32, 16), (1, 3, 33, 16), (4, 3, 64, 96)]
    assert [profile_for([SMALL, LARGE], shape) for shape in shapes] == [0, 1, 1]
    with pytest.raises(ValueError, match=r"1x3x16x16 to 4x3x64x96; got 5x3x64x64.*--tile"):
        profile_for([SMALL, LARGE], (5, 3, 64, 64))


def test_engine_gets_profile_shapes_and_addresses(bundle, no_cuda_needed, context, module) -> None:
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    images = torch.rand(2, 3, 48, 64).to(memory_format=torch.channels_last)
    restored, gates = runtime.restore(images, None)
    torch.testing.assert_close(restored, 1 - images, rtol=0, atol=1e-7)
    torch.testing.assert_close(gates, torch.tensor([[0.25, 0.75]] * 2))
    assert (context.profile, runtime.size_range) == (1, (16, 96))


TWO_SIZES = (Profile(*[(4, 3, 32, 32)] * 3), Profile(*[(1, 3, 64, 64)] * 3))


@pytest.mark.parametrize(
    ("shape", "calls"),
    [
        ((4, 3, 32, 32), [(4, 3, 32, 32)]),
        ((6, 3, 32, 32), [(4, 3, 32, 32)] * 2),
        ((4, 3, 64, 64), [(1, 3, 64, 64)] * 4),
        ((1, 3, 24, 32), [(4, 3, 32, 32)]),
        ((1, 3, 33, 20), [(1, 3, 64, 64)]),
    ],
)
def test_every_size_runs_in_its_profile(bundle, no_cuda_needed, shape, calls, context, module) -> None:
    folder, manifest = bundle
    manifest = replace(manifest, graphs=(replace(manifest.graphs[0], profiles=TWO_SIZES),))
    assert manifest.graphs[0].compared_sizes == ((32, 32), (64, 64))
    runtime = EngineRuntime(folder, manifest, Flavour(module), torch.device("cpu"))
    images = torch.rand(shape)
    restored, gates = runtime.restore(images, None)
    torch.testing.assert_close(restored, 1 - images, rtol=0, atol=1e-7)
    assert (context.ran, len(gates)) == (calls, shape[0])


def test_an_image_beyond_every_profile_is_rejected(bundle, no_cuda_needed, module) -> None:
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"up to 32x32 and up to 64x96 pixels, got 65x32.*--max-shape"):
        runtime.restore(torch.rand(1, 3, 65, 32), None)


def test_an_oblong_graph_is_no_shape_for_tiles(bundle, no_cuda_needed, module) -> None:
    folder, manifest = bundle
    image = replace(manifest.graphs[0].inputs[0], shape=(1, 3, 48, 64))
    oblong = replace(manifest.graphs[0], inputs=(image,), profiles=(Profile(*[(1, 3, 48, 64)] * 3),))
    runtime = EngineRuntime(folder, replace(manifest, graphs=(oblong,)), Flavour(module), torch.device("cpu"))
    with pytest.raises(ValueError, match="takes images of 48x64 pixels, got 64x48; export with --imgsz 64,48"):
        runtime.restore(torch.rand(1, 3, 64, 48), None)


def test_tensors_stay_in_place_while_a_shape_is_in_use(bundle, no_cuda_needed, context, module) -> None:
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))

    def address(side: int) -> int:
        image = torch.rand(1, 3, side, side)
        torch.testing.assert_close(runtime.restore(image, None)[0], 1 - image, rtol=0, atol=1e-7)
        return context.addresses["image"]

    first = address(16)
    assert address(16) == first and address(17) != first and address(16) == first
    for side in range(20, 30):
        address(side)
    assert len(runtime.engines["model"].buffers) == KEPT_SHAPES


def test_outputs_are_the_caller_s(bundle, no_cuda_needed, module) -> None:
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    graph = runtime.manifest.graphs[0]
    with torch.inference_mode():
        first = runtime.run(graph, {"image": torch.zeros(1, 3, 16, 16)})["restored"]
    runtime.run(graph, {"image": torch.ones(1, 3, 16, 16)})
    assert first.eq(1).all()


def test_an_engine_of_one_shape_is_recorded_once(bundle, no_cuda_needed, monkeypatch, context, module) -> None:

    class Recording(list):
        def replay(self) -> None:
            for launch in self:
                launch()

    @contextmanager
    def record(recording, stream, capture_error_mode):
        assert len(context.ran) == 1 and stream.cuda_stream == 7
        context.recording = recording
        yield
        context.recording = None

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", record)
    folder, manifest = bundle
    image = replace(manifest.graphs[0].inputs[0], shape=(2, 3, 32, 32))
    fixed = replace(manifest.graphs[0], inputs=(image,), profiles=(Profile(*[(2, 3, 32, 32)] * 3),))
    fixed = replace(manifest, graphs=(fixed,))
    runtime = EngineRuntime(folder, fixed, Flavour(module), torch.device("cpu"))
    for images in torch.rand(3, 2, 3, 32, 32):
        torch.testing.assert_close(runtime.restore(images, None)[0], 1 - images, rtol=0, atol=1e-7)
    assert context.ran == [(2, 3, 32, 32)] and len(runtime.engines["model"].recorded) == 1


def test_tensorrt_rtx_is_asked_to_record(bundle, rtx, no_cuda_needed, monkeypatch, tmp_path, context, module) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = SimpleNamespace(serialize=lambda: b"kernels")
    config = SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda cache: True)
    strategies = []

    def made(config):
        strategies.append(config.cuda_graph_strategy)
        return context

    module.IRuntimeCache, module.CudaGraphStrategy = rtx.module.IRuntimeCache, rtx.module.CudaGraphStrategy
    engine = SimpleNamespace(create_runtime_config=lambda: config, create_execution_context=made)
    module.Runtime.deserialize_cuda_engine = lambda self, plan: engine
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    runtime.restore(torch.rand(1, 3, 32, 32), None)
    assert strategies == [rtx.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE]
    assert hasattr(rtx.module.IRuntimeConfig, "cuda_graph_strategy")
    assert [file.read_bytes() for file in (tmp_path / "cache" / "lorair").iterdir()] == [b"kernels"]


def test_no_memory_for_an_engine_is_one_sentence(bundle, no_cuda_needed, module) -> None:
    folder, manifest = bundle
    module.Runtime.deserialize_cuda_engine = lambda self, plan: SimpleNamespace(create_execution_context=lambda: None)
    large = replace(manifest, graphs=(replace(manifest.graphs[0], activation_mib=(20.0, 4400.0)),))
    with pytest.raises(RuntimeUnavailableError, match=r"model\.plan gets no memory on a GPU \(about 4400 MiB\)"):
        EngineRuntime(folder, large, Flavour(module), torch.device("cpu"))


def test_engine_routes_inside(bundle, no_cuda_needed, module) -> None:
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    assert runtime.route(torch.rand(1, 3, 32, 32)) is None
    with pytest.raises(ValueError, match="takes no routing"):
        runtime.restore(torch.rand(1, 3, 32, 32), Routing(None, torch.ones(1, 2), torch.ones(1, 2)))
    with pytest.raises(ValueError, match="cannot be named"):
        runtime.pin("rain", 1)


@pytest.mark.parametrize("fits", [True, False])
def test_a_stripped_engine_gets_its_graph_s_weights(bundle, no_cuda_needed, fits, module) -> None:
    folder, manifest = bundle
    given = []
    module.Refitter = lambda engine, log: SimpleNamespace(refit_cuda_engine=lambda: fits)
    module.OnnxParserRefitter = lambda refitter, log: SimpleNamespace(
        refit_from_file=lambda path: given.append(path) or True
    )
    stripped = replace(manifest, engine=EngineRecord("tensorrt", "11.4.0.106", ("9.0",), strip_weights=True))
    with nullcontext() if fits else pytest.raises(ExportError, match="do not fit its stripped engine"):
        EngineRuntime(folder, stripped, Flavour(module), torch.device("cpu"))
    assert given == [str(folder / "model.onnx")]


@pytest.mark.parametrize("asked", [True, False])
def test_code_inside_a_plan_runs_only_where_the_manifest_says_so(bundle, no_cuda_needed, asked, module) -> None:
    folder, manifest = bundle
    allowed = []

    class Runtime(module.Runtime):
        engine_host_code_allowed = False

        def deserialize_cuda_engine(self, plan: bytes):
            allowed.append(self.engine_host_code_allowed)
            return super().deserialize_cuda_engine(plan)

    module.Runtime = Runtime
    compatible = replace(manifest, engine=EngineRecord("tensorrt", "11.4.0.106", ("9.0",), version_compatible=asked))
    EngineRuntime(folder, compatible, Flavour(module), torch.device("cpu"))
    assert allowed == [asked]


def test_two_engines_hand_routing_on(bundle, no_cuda_needed, module, split_contexts) -> None:
    folder, manifest = bundle
    (model,) = manifest.graphs
    gates, prior = model.outputs[1], TensorSpec("prior", "float32", ("batch", 1))
    router = replace(model, name="router", outputs=(gates, prior))
    restorer = replace(model, name="restorer", inputs=(*model.inputs, prior, gates), outputs=model.outputs[:1])
    split = replace(manifest, graphs=(router, restorer), routing=RoutingForm.SPLIT, mean_priors=((0.5,), (0.25,)))
    engines = iter([SimpleNamespace(create_execution_context=lambda held=held: held) for held in split_contexts])
    module.Runtime.deserialize_cuda_engine = lambda self, plan: next(engines)
    runtime = EngineRuntime(folder, split, Flavour(module), torch.device("cpu"))
    images = torch.rand(6, 3, 32, 48)
    restored, gates_found = runtime.restore(images, None)
    torch.testing.assert_close(restored, images + images.mean((1, 2, 3), keepdim=True))
    assert gates_found.tolist() == [[1, 0]] * 6
    torch.testing.assert_close(runtime.restore(images, runtime.pin("rain", 6))[0], torch.full_like(images, 0.25))


def test_foreign_plan_is_unavailable_with_the_library_s_reason(bundle, no_cuda_needed, module) -> None:
    module.engine = None
    with pytest.raises(RuntimeUnavailableError, match=r"version 1, this is 2.*build it again here"):
        EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))


def test_an_engine_on_the_cpu_names_its_graph(bundle) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"its graph instead: .*model\.onnx") as rejected:
        EngineRuntime.open(str(bundle[0]), "cpu")
    assert rejected.value.exit_code == 3


def test_accepts_only_a_bundle_of_an_engine(bundle, tmp_path) -> None:
    folder, _ = bundle
    assert EngineRuntime.accepts(str(folder))
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"tensorrt"', '"onnx"'))
    assert not EngineRuntime.accepts(str(folder))
    (folder / "manifest.json").write_text("[")
    assert not EngineRuntime.accepts(str(folder))
    assert not EngineRuntime.accepts(str(tmp_path / "nowhere"))
