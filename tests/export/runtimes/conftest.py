"""An engine that computes on the CPU, and the bundle that holds its plan."""

import ctypes
import math
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lorair_export.bundle import EngineRecord, Graph, Manifest, Profile, TensorSpec, file_sha256, write_manifest

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


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()


@pytest.fixture
def split_contexts() -> list[SplitContext]:
    return [SplitContext(), SplitContext()]


@pytest.fixture
def module(context) -> ModuleType:
    """What a loaded engine touches of TensorRT; `engine` is what a plan becomes, None where it does not load."""
    module = ModuleType("tensorrt_fake")
    module.engine = SimpleNamespace(create_execution_context=lambda: context)

    class ILogger:
        WARNING, ERROR, INTERNAL_ERROR = range(3)

    class Runtime:
        def __init__(self, log) -> None:
            self.log = log

        def deserialize_cuda_engine(self, plan: bytes):
            assert plan == b"plan"
            self.log.log(ILogger.ERROR, "the engine is of version 1, this is 2")
            return module.engine

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
        engine=EngineRecord("rtx", "1.7.1.116", ("8.6",)),
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
