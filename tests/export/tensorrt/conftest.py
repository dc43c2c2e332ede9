"""A classic TensorRT that is not there, and small graphs for a real TensorRT-RTX."""

from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
from lorair_export.bundle import Profile
from lorair_export.tensorrt import EngineSpec, Flavour
from lorair_export.tensorrt.builder import Engine, engine_from_onnx
from onnx import TensorProto, helper, numpy_helper
from rich.progress import Progress

BUILDER_FLAGS = {"REFIT": 11, "STRIP_PLAN": 12, "VERSION_COMPATIBLE": 13, "EXCLUDE_LEAN_RUNTIME": 14}


@pytest.fixture
def profile() -> Profile:
    return Profile((1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 96, 128))


@pytest.fixture
def write_graph():
    """Write one node `restorer/intro` on float images of free batch, height and width; weight [8, 3, 3, 3]."""

    def write(path: Path, *, weight_dtype: type = np.float32, op: str = "Conv", domain: str = "") -> Path:
        weight = numpy_helper.from_array(np.full((8, 3, 3, 3), 0.1, weight_dtype), "weight")
        node = helper.make_node(op, ["image", "weight"], ["restored"], name="restorer/intro", domain=domain)
        graph = helper.make_graph(
            [node],
            "graph",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
            [helper.make_tensor_value_info("restored", TensorProto.FLOAT, None)],
            [weight],
        )
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid("elsewhere", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        return path

    return write


@pytest.fixture
def graph(write_graph, tmp_path) -> Path:
    return write_graph(tmp_path / "graph.onnx")


@pytest.fixture
def build(profile):
    def run(graph: Path, flavour: Flavour, progress: Progress | None = None, **options) -> Engine:
        return engine_from_onnx(graph, flavour, EngineSpec(**{"profiles": (profile,), **options}), progress)

    return run


class FakeConfig:
    def __init__(self) -> None:
        self.profiles, self.pools, self.flags = [], {}, []

    def set_flag(self, flag) -> None:
        self.flags.append(flag.name)

    def create_timing_cache(self, kept: bytes) -> SimpleNamespace:
        return SimpleNamespace(kept=kept, serialize=lambda: memoryview(kept + b"+timed"))

    def set_timing_cache(self, cache, ignore_mismatch: bool) -> bool:
        return not ignore_mismatch and cache.kept != b"another GPU's"

    def add_optimization_profile(self, profile) -> None:
        self.profiles.append(profile)

    def set_memory_pool_limit(self, pool, size) -> None:
        self.pools[pool] = size


class FakeProfile:
    def set_shape(self, *shapes) -> None:
        self.shapes = shapes


class FakeNetwork:
    name, num_inputs, num_layers = "", 1, 0

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def get_input(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(name=["image", "gates"][index])


class FakeParser:
    num_errors = 0

    def __init__(self, network, log) -> None:
        pass

    def parse_from_file(self, path: str) -> bool:
        return True


@pytest.fixture
def classic():
    """What the adapter touches of a classic TensorRT; `built` is what was built last."""

    def module_of(version: str, **builder_flags: int) -> ModuleType:
        module = ModuleType(f"tensorrt_{version}")

        class Builder:
            def __init__(self, log) -> None:
                self.log = log

            def create_network(self, flags: int) -> FakeNetwork:
                return FakeNetwork(flags)

            def create_builder_config(self) -> FakeConfig:
                return FakeConfig()

            def create_optimization_profile(self) -> FakeProfile:
                return FakeProfile()

            def build_serialized_network(self, network, config) -> bytes:
                module.built = (network, config)
                self.log.log(module.ILogger.WARNING, "a warning of the library")
                self.log.log(None, "Total Activation Memory: 4096 bytes")
                return b"a classic plan"

        class ILogger:
            WARNING, ERROR, INTERNAL_ERROR = range(3)

        module.__version__ = version
        module.Builder, module.ILogger, module.OnnxParser = Builder, ILogger, FakeParser
        module.IProgressMonitor = type("IProgressMonitor", (), {})
        module.BuilderFlag = IntEnum("BuilderFlag", {**BUILDER_FLAGS, **builder_flags})
        module.HardwareCompatibilityLevel = IntEnum("HardwareCompatibilityLevel", {"NONE": 0, "AMPERE_PLUS": 1})
        module.ProfilingVerbosity = IntEnum("ProfilingVerbosity", {"DETAILED": 1})
        module.NetworkDefinitionCreationFlag = IntEnum("NetworkDefinitionCreationFlag", {"STRONGLY_TYPED": 1})
        module.MemoryPoolType = IntEnum("MemoryPoolType", {"WORKSPACE": 0})
        module.LayerType = IntEnum("LayerType", {"CONVOLUTION": 0, "DEQUANTIZE": 1})
        return module

    return module_of
