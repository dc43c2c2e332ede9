import ctypes
import math
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lorair_export.bundle.manifest import Graph, Manifest, Profile, TensorSpec, file_sha256, write_manifest
from lorair_export.errors import ExportError
from lorair_export.runtimes.tensorrt import EngineRuntime
from lorair_export.spec.routing_form import RoutingForm
from lorair_export.tensorrt.engine import KEPT_SHAPES, profile_for
from lorair_export.tensorrt.flavour import Flavour

from lorair.errors import RuntimeUnavailableError
from lorair.model.router import Routing

SMALL = Profile((1, 3, 16, 16), (1, 3, 32, 32), (1, 3, 32, 32))
LARGE = Profile((1, 3, 16, 16), (2, 3, 64, 64), (4, 3, 64, 96))


class FakeContext:
    """A loaded engine: restored = 1 - image, gates = [0.25, 0.75]; reads and writes by address, as a GPU does."""

    def __init__(self) -> None:
        self.profile, self.shape, self.addresses, self.ran = None, None, {}, []
        self.recording = None

    def set_optimization_profile_async(self, index: int, stream: int) -> None:
        self.profile, self.shape = index, None

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert name == "image" and self.profile is not None
        self.shape = shape

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self.shape is not None
        return self.shape if name == "restored" else (self.shape[0], 2)

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        if self.recording is not None:
            addresses = dict(self.addresses)
            self.recording.append(lambda: self._compute(addresses))
            return stream == 7
        self.ran.append(self.shape)
        self._compute(self.addresses)
        return stream == 7

    def _compute(self, addresses: dict[str, int]) -> None:
        image, restored, gates = (self._at(name, addresses) for name in ("image", "restored", "gates"))
        restored[:] = [1 - value for value in image]
        gates[:] = [0.25, 0.75] * self.shape[0]

    def _at(self, name: str, addresses: dict[str, int]):
        shape = self.shape if name == "image" else self.get_tensor_shape(name)
        return (ctypes.c_float * math.prod(shape)).from_address(addresses[name])


def fake_module(context: FakeContext | None) -> ModuleType:
    module = ModuleType("tensorrt_fake")
    engine = None if context is None else SimpleNamespace(create_execution_context=lambda: context)

    class ILogger:
        WARNING, ERROR, INTERNAL_ERROR = range(3)

    class Runtime:
        def __init__(self, log) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes):
            assert plan == b"plan"
            self.log.log(ILogger.ERROR, "the engine is of version 1, this is 2")
            return engine

    module.__version__, module.ILogger, module.Runtime = "2.0.0", ILogger, Runtime
    return module


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "model.plan").write_bytes(b"plan")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    image, restored = (TensorSpec(name, "float32", ("batch", 3, "height", "width")) for name in ("image", "restored"))
    gates = TensorSpec("gates", "float32", ("batch", 2))
    manifest = Manifest(
        runtime="tensorrt",
        graphs=(Graph("model", "model.plan", (image,), (restored, gates), (16, 96), "model.onnx", (SMALL, LARGE)),),
        files={"model.plan": file_sha256(tmp_path / "model.plan"), "model.onnx": file_sha256(tmp_path / "model.onnx")},
        versions={},
        checkpoint="0" * 64,
        lowering="low-rank",
        precision="fp32",
        opset=20,
        max_batch=4,
        degradations=("noise", "rain"),
        local_window=None,
        engine={"flavour": "rtx"},
    )
    write_manifest(tmp_path, manifest)
    return tmp_path, manifest


@pytest.fixture
def no_cuda_needed(monkeypatch):
    """Streams of a GPU that is not there, so that the engine's calls can be followed on the CPU."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(cuda_stream=7, synchronize=lambda: None))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")


def test_profile_is_the_first_that_holds_the_shape() -> None:
    shapes = [(1, 3, 32, 16), (1, 3, 33, 16), (4, 3, 64, 96)]
    assert [profile_for([SMALL, LARGE], shape) for shape in shapes] == [0, 1, 1]
    with pytest.raises(ValueError, match=r"1x3x16x16 to 4x3x64x96; got 5x3x64x64.*--tile"):
        profile_for([SMALL, LARGE], (5, 3, 64, 64))


def test_engine_gets_profile_shapes_and_addresses(bundle, no_cuda_needed) -> None:
    context = FakeContext()
    runtime = EngineRuntime(*bundle, Flavour(fake_module(context)), torch.device("cpu"))
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
def test_every_size_runs_in_its_profile(bundle, no_cuda_needed, shape, calls) -> None:
    folder, manifest = bundle
    manifest = replace(manifest, graphs=(replace(manifest.graphs[0], profiles=TWO_SIZES),))
    assert manifest.graphs[0].compared_sizes == ((32, 32), (64, 64))
    context = FakeContext()
    runtime = EngineRuntime(folder, manifest, Flavour(fake_module(context)), torch.device("cpu"))
    images = torch.rand(shape)
    restored, gates = runtime.restore(images, None)
    torch.testing.assert_close(restored, 1 - images, rtol=0, atol=1e-7)
    assert (context.ran, len(gates)) == (calls, shape[0])


def test_an_image_beyond_every_profile_is_refused(bundle, no_cuda_needed) -> None:
    runtime = EngineRuntime(*bundle, Flavour(fake_module(FakeContext())), torch.device("cpu"))
    with pytest.raises(ValueError, match=r"up to 32x32 and up to 64x96 pixels, got 65x32.*--max-shape"):
        runtime.restore(torch.rand(1, 3, 65, 32), None)


def test_an_oblong_graph_is_no_shape_for_tiles(bundle, no_cuda_needed) -> None:
    folder, manifest = bundle
    image = replace(manifest.graphs[0].inputs[0], shape=(1, 3, 48, 64))
    oblong = replace(manifest.graphs[0], inputs=(image,), profiles=(Profile(*[(1, 3, 48, 64)] * 3),))
    runtime = EngineRuntime(
        folder, replace(manifest, graphs=(oblong,)), Flavour(fake_module(FakeContext())), torch.device("cpu")
    )
    with pytest.raises(ValueError, match="takes images of 48x64 pixels, got 64x48; export with --imgsz 64,48"):
        runtime.restore(torch.rand(1, 3, 64, 48), None)


def test_tensors_stay_in_place_while_a_shape_is_in_use(bundle, no_cuda_needed) -> None:
    context = FakeContext()
    runtime = EngineRuntime(*bundle, Flavour(fake_module(context)), torch.device("cpu"))

    def address(side: int) -> int:
        image = torch.rand(1, 3, side, side)
        torch.testing.assert_close(runtime.restore(image, None)[0], 1 - image, rtol=0, atol=1e-7)
        return context.addresses["image"]

    first = address(16)
    assert address(16) == first and address(17) != first and address(16) == first
    for side in range(20, 30):
        address(side)
    assert len(runtime.engines["model"].buffers) == KEPT_SHAPES


def test_outputs_are_the_caller_s(bundle, no_cuda_needed) -> None:
    runtime = EngineRuntime(*bundle, Flavour(fake_module(FakeContext())), torch.device("cpu"))
    graph = runtime.manifest.graphs[0]
    with torch.inference_mode():
        first = runtime.run(graph, {"image": torch.zeros(1, 3, 16, 16)})["restored"]
    runtime.run(graph, {"image": torch.ones(1, 3, 16, 16)})
    assert first.eq(1).all()


def test_an_engine_of_one_shape_is_recorded_after_its_first_run(bundle, no_cuda_needed, monkeypatch) -> None:
    context = FakeContext()

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
    runtime = EngineRuntime(folder, fixed, Flavour(fake_module(context)), torch.device("cpu"))
    for images in torch.rand(3, 2, 3, 32, 32):
        torch.testing.assert_close(runtime.restore(images, None)[0], 1 - images, rtol=0, atol=1e-7)
    assert context.ran == [(2, 3, 32, 32)] and len(runtime.engines["model"].recorded) == 1


def test_tensorrt_rtx_is_asked_to_record(bundle, rtx, no_cuda_needed, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = SimpleNamespace(serialize=lambda: b"kernels")
    config = SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda cache: True)
    strategies, context = [], FakeContext()

    def made(config):
        strategies.append(config.cuda_graph_strategy)
        return context

    module = fake_module(context)
    module.IRuntimeCache, module.CudaGraphStrategy = rtx.module.IRuntimeCache, rtx.module.CudaGraphStrategy
    engine = SimpleNamespace(create_runtime_config=lambda: config, create_execution_context=made)
    module.Runtime.deserialize_cuda_engine = lambda self, plan: engine
    runtime = EngineRuntime(*bundle, Flavour(module), torch.device("cpu"))
    runtime.restore(torch.rand(1, 3, 32, 32), None)
    assert strategies == [rtx.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE]
    assert hasattr(rtx.module.IRuntimeConfig, "cuda_graph_strategy")
    assert [file.read_bytes() for file in (tmp_path / "cache" / "lorair").iterdir()] == [b"kernels"]


def test_no_memory_for_an_engine_is_one_sentence(bundle, no_cuda_needed) -> None:
    folder, manifest = bundle
    module = fake_module(FakeContext())
    module.Runtime.deserialize_cuda_engine = lambda self, plan: SimpleNamespace(create_execution_context=lambda: None)
    large = replace(manifest, graphs=(replace(manifest.graphs[0], activation_mib=(20.0, 4400.0)),))
    with pytest.raises(RuntimeUnavailableError, match=r"model\.plan gets no memory on a GPU \(about 4400 MiB\)"):
        EngineRuntime(folder, large, Flavour(module), torch.device("cpu"))


def test_engine_routes_inside(bundle, no_cuda_needed) -> None:
    runtime = EngineRuntime(*bundle, Flavour(fake_module(FakeContext())), torch.device("cpu"))
    assert runtime.route(torch.rand(1, 3, 32, 32)) is None
    with pytest.raises(ValueError, match="takes no routing"):
        runtime.restore(torch.rand(1, 3, 32, 32), Routing(None, torch.ones(1, 2), torch.ones(1, 2)))
    with pytest.raises(ValueError, match="cannot be named"):
        runtime.pin("rain", 1)


@pytest.mark.parametrize("fits", [True, False])
def test_a_stripped_engine_gets_its_graph_s_weights(bundle, no_cuda_needed, fits) -> None:
    folder, manifest = bundle
    module, given = fake_module(FakeContext()), []
    module.Refitter = lambda engine, log: SimpleNamespace(refit_cuda_engine=lambda: fits)
    module.OnnxParserRefitter = lambda refitter, log: SimpleNamespace(
        refit_from_file=lambda path: given.append(path) or True
    )
    stripped = replace(manifest, engine={"flavour": "tensorrt", "strip_weights": True})
    with nullcontext() if fits else pytest.raises(ExportError, match="do not go into its stripped engine"):
        EngineRuntime(folder, stripped, Flavour(module), torch.device("cpu"))
    assert given == [str(folder / "model.onnx")]


@pytest.mark.parametrize("asked", [True, False])
def test_code_inside_a_plan_runs_only_where_the_manifest_tells_of_it(bundle, no_cuda_needed, asked) -> None:
    folder, manifest = bundle
    module, allowed = fake_module(FakeContext()), []

    class Runtime(module.Runtime):
        engine_host_code_allowed = False

        def deserialize_cuda_engine(self, plan: bytes):
            allowed.append(self.engine_host_code_allowed)
            return super().deserialize_cuda_engine(plan)

    module.Runtime = Runtime
    told = replace(manifest, engine={"flavour": "tensorrt", "version_compatible": asked})
    EngineRuntime(folder, told, Flavour(module), torch.device("cpu"))
    assert allowed == [asked]


class SplitContext(FakeContext):
    """Two engines in one: gates and prior of an image's mean, or restored = image * gates[0] + prior[0]."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        self.shapes[name] = self.shape = shape

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        images = self.shapes["image"]
        return {"restored": images, "gates": (images[0], 2), "prior": (images[0], 1)}[name]

    def set_tensor_address(self, name: str, address: int) -> None:
        shape = self.shapes.get(name) or self.get_tensor_shape(name)
        count = math.prod(shape)
        array = (ctypes.c_float * count).from_address(address)
        self.addresses[name] = torch.frombuffer(array, dtype=torch.float32).view(shape)

    def execute_async_v3(self, stream: int) -> bool:
        held = self.addresses
        if "restored" in held:
            gate, prior = held["gates"][:, 0], held["prior"][:, 0]
            held["restored"].copy_(held["image"] * gate[:, None, None, None] + prior[:, None, None, None])
        else:
            held["gates"].copy_(torch.tensor([1.0, 0.0]).expand(len(held["image"]), 2))
            held["prior"].copy_(held["image"].mean((1, 2, 3))[:, None])
        return stream == 7


def test_two_engines_hand_routing_on(bundle, no_cuda_needed) -> None:
    folder, manifest = bundle
    (model,) = manifest.graphs
    gates, prior = model.outputs[1], TensorSpec("prior", "float32", ("batch", 1))
    router = replace(model, name="router", outputs=(gates, prior))
    restorer = replace(model, name="restorer", inputs=(*model.inputs, prior, gates), outputs=model.outputs[:1])
    split = replace(manifest, graphs=(router, restorer), routing=RoutingForm.SPLIT, mean_priors=((0.5,), (0.25,)))
    contexts = [SplitContext(), SplitContext()]
    module = fake_module(contexts[0])
    engines = iter([SimpleNamespace(create_execution_context=lambda held=held: held) for held in contexts])
    module.Runtime.deserialize_cuda_engine = lambda self, plan: next(engines)
    runtime = EngineRuntime(folder, split, Flavour(module), torch.device("cpu"))
    images = torch.rand(6, 3, 32, 48)
    restored, told = runtime.restore(images, None)
    torch.testing.assert_close(restored, images + images.mean((1, 2, 3), keepdim=True))
    assert told.tolist() == [[1, 0]] * 6
    torch.testing.assert_close(runtime.restore(images, runtime.pin("rain", 6))[0], torch.full_like(images, 0.25))


def test_foreign_plan_is_unavailable_with_the_library_s_reason(bundle, no_cuda_needed) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"version 1, this is 2.*build it again here"):
        EngineRuntime(*bundle, Flavour(fake_module(None)), torch.device("cpu"))


def test_cpu_is_told_what_to_do(bundle) -> None:
    with pytest.raises(RuntimeUnavailableError, match=r"its graph instead: .*model\.onnx") as refused:
        EngineRuntime.open(str(bundle[0]), "cpu")
    assert refused.value.exit_code == 3


def test_accepts_only_a_bundle_of_an_engine(bundle, tmp_path) -> None:
    folder, _ = bundle
    assert EngineRuntime.accepts(str(folder))
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"tensorrt"', '"onnx"'))
    assert not EngineRuntime.accepts(str(folder))
    (folder / "manifest.json").write_text("[")
    assert not EngineRuntime.accepts(str(folder))
    assert not EngineRuntime.accepts(str(tmp_path / "nowhere"))
