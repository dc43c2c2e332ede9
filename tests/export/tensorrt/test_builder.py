import logging
import signal
import sys
import threading
import time
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from lorair_export import cli
from lorair_export.bundle.manifest import Profile
from lorair_export.errors import BuildError
from lorair_export.tensorrt.builder import Engine, EngineSpec, check_plan, check_spec, checked_targets, engine_from_onnx
from lorair_export.tensorrt.flavour import Flavour, find_tensorrt
from lorair_export.tensorrt.options import EngineOptions, keep_timing_cache
from onnx import TensorProto, helper, numpy_helper
from rich.progress import Progress

from lorair.errors import RuntimeUnavailableError

BUILDER_FLAGS = {"REFIT": 11, "STRIP_PLAN": 12, "VERSION_COMPATIBLE": 13, "EXCLUDE_LEAN_RUNTIME": 14}
PROFILE = Profile((1, 3, 32, 32), (1, 3, 64, 64), (2, 3, 96, 128))


def write_graph(path: Path, *, weight_dtype: type = np.float32, op: str = "Conv", domain: str = "") -> Path:
    """One node ``restorer/intro`` on float images of free batch, height and width; weight [8, 3, 3, 3]."""
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


def build(graph: Path, flavour: Flavour, progress: Progress | None = None, **options) -> Engine:
    return engine_from_onnx(graph, flavour, EngineSpec(**{"profiles": (PROFILE,), **options}), progress)


@pytest.fixture
def rtx() -> Flavour:
    pytest.importorskip("tensorrt_rtx_bindings")
    return find_tensorrt("rtx")


@pytest.fixture
def graph(tmp_path) -> Path:
    return write_graph(tmp_path / "graph.onnx")


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


def classic_module(version: str, **builder_flags: int) -> ModuleType:
    """What the adapter touches of a classic TensorRT; ``built`` is what was built last."""
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
    return module


def test_traits_of_a_weakly_typed_classic() -> None:
    flavour = Flavour(classic_module("10.16.1.11", FP16=2))
    assert (flavour.name, flavour.version, flavour.compute_capabilities) == ("tensorrt", "10.16.1.11", ())
    assert flavour.network_flags() == 0b10


def test_traits_of_a_strongly_typed_classic() -> None:
    flavour = Flavour(classic_module("11.4.0.106"))
    assert (flavour.name, flavour.compute_capabilities, flavour.network_flags()) == ("tensorrt", (), 0)


def test_traits_of_rtx(rtx) -> None:
    assert rtx.name == "rtx"
    assert {"8.6", "8.9", "12.0"} <= set(rtx.compute_capabilities)
    assert "9.0" not in rtx.compute_capabilities
    assert rtx.network_flags() == 0


def test_classic_build_passes_every_option(graph, caplog) -> None:
    module = classic_module("10.16.1.11", FP16=2)
    with caplog.at_level(logging.WARNING):
        engine = build(graph, Flavour(module), opt_level=5, workspace_mib=3, name="short")
    network, config = module.built
    assert (network.flags, network.name) == (0b10, "short")
    assert config.profiles[0].shapes == ("image", PROFILE.min, PROFILE.opt, PROFILE.max)
    assert (config.builder_optimization_level, config.pools) == (5, {0: 3 * 2**20})
    assert not hasattr(config, "num_compute_capabilities")
    assert (engine.plan, engine.activation_bytes) == (b"a classic plan", (4096,))
    assert caplog.messages == ["a warning of the library"]


def test_classic_build_passes_on_what_a_flavour_may_refuse(graph, tmp_path) -> None:
    module, kept = classic_module("11.4.0.106"), tmp_path / "timings"
    options = EngineOptions("ampere+", version_compatible=True, refit=True, strip_weights=True, timing_cache=kept)
    for written in (b"+timed", b"+timed+timed"):
        build(graph, Flavour(module), options=options)
        assert kept.read_bytes() == written and sorted(tmp_path.iterdir()) == [graph, kept]
    _, config = module.built
    assert config.flags == ["VERSION_COMPATIBLE", "REFIT", "STRIP_PLAN"]
    assert config.hardware_compatibility_level == module.HardwareCompatibilityLevel.AMPERE_PLUS
    kept.write_bytes(b"another GPU's")
    with pytest.raises(BuildError, match=r"--timing-cache .*another TensorRT or GPU"):
        build(graph, Flavour(module), options=options)
    assert kept.read_bytes() == b"another GPU's"


def test_a_timing_cache_that_cannot_be_written_is_a_warning(tmp_path, caplog) -> None:
    keep_timing_cache(FakeConfig().create_timing_cache(b""), tmp_path / "gone" / "timings")
    assert "--timing-cache is not written" in caplog.text


@pytest.mark.parametrize(
    ("options", "precision", "error", "words"),
    [
        (EngineOptions("same-cc"), "fp32", BuildError, "--hw-compat same-cc: TensorRT 10.3.0"),
        (EngineOptions("ampere+"), "fp8", BuildError, "8.0 does not compute in fp8"),
        (EngineOptions(timing_cache=Path("gone/timings")), "fp32", ValueError, "--timing-cache gone/timings"),
    ],
)
def test_classic_refuses_with_the_reason(options, precision, error, words) -> None:
    with pytest.raises(error, match=words):
        check_spec(Flavour(classic_module("10.3.0")), EngineSpec((PROFILE,), precision=precision, options=options))


def test_rtx_builds_a_version_compatible_plan(rtx, graph) -> None:
    plain = build(graph, rtx, compute_capabilities=("8.6",)).plan
    told = build(graph, rtx, compute_capabilities=("8.6",), options=EngineOptions(version_compatible=True)).plan
    assert told[:4] == b"vtrt" and told != plain


def test_rtx_refits_on_a_gpu_for_one_target(rtx, monkeypatch) -> None:
    spec = EngineSpec((PROFILE,), options=EngineOptions(refit=True))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(BuildError, match=r"--refit: .*not for 8\.6, 8\.9, 12\.0"):
        check_spec(rtx, spec)
    check_spec(rtx, replace(spec, compute_capabilities=("8.6",)))


def test_rtx_builds_one_portable_plan_without_a_gpu(rtx, graph) -> None:
    engine = build(graph, rtx, profiles=(PROFILE, PROFILE), name="lorair tiny fp32")
    assert engine.plan[:4] == b"vtrt"
    assert int.from_bytes(engine.plan[16:24], "little") == len(engine.plan)
    assert b"lorair tiny fp32" in engine.plan
    pixels = 2 * 96 * 128
    assert len(engine.activation_bytes) == 2
    assert all(memory >= 4 * 8 * pixels for memory in engine.activation_bytes)


def test_one_plan_serves_all_targets(rtx, graph) -> None:
    def plan(*targets: str) -> bytes:
        return build(graph, rtx, compute_capabilities=targets).plan

    assert checked_targets(rtx, ()) == ("8.6", "8.9", "12.0")
    assert len(plan("8.6", "8.9", "12.0")) < 1.1 * len(plan("8.6"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compute_capabilities": ("9.0",)}, ["9.0", "8.6", "8.9", "12.0", "--backend tensorrt"]),
        ({"opt_level": 5}, ["--opt-level", "leave the option out"]),
        ({"workspace_mib": 1}, ["--workspace", "--max-shape"]),
        ({"options": EngineOptions("ampere+")}, ["--hw-compat ampere+", "--compute-capability"]),
        ({"options": EngineOptions(timing_cache=Path("timings"))}, ["--timing-cache", "leave the option out"]),
        ({"options": EngineOptions(refit=True)}, ["--refit", "NVIDIA GPU"]),
        ({"options": EngineOptions(strip_weights=True)}, ["--strip-weights", "NVIDIA GPU"]),
    ],
)
def test_rtx_refuses_with_the_reason(rtx, graph, monkeypatch, options, words) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(BuildError) as refused:
        build(graph, rtx, **options)
    assert refused.value.exit_code == 5
    assert [word for word in words if word not in str(refused.value)] == []


def test_classic_refuses_compute_capabilities(graph) -> None:
    with pytest.raises(BuildError, match=r"this machine only.*--backend rtx"):
        build(graph, Flavour(classic_module("11.4.0.106")), compute_capabilities=("8.6",))


def test_opt_level_out_of_range(graph) -> None:
    with pytest.raises(ValueError, match=r"0\.\.5; got 6"):
        build(graph, Flavour(classic_module("11.4.0.106")), opt_level=6)


def test_profile_out_of_order(rtx, graph) -> None:
    upside_down = Profile(PROFILE.max, PROFILE.opt, PROFILE.min)
    with pytest.raises(ValueError, match="min <= opt <= max"):
        build(graph, rtx, profiles=(upside_down,))


def test_missing_profile_is_told(rtx, graph) -> None:
    with pytest.raises(BuildError, match="no optimization profile"):
        build(graph, rtx, profiles=())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"weight_dtype": np.float16}, "must be of same type"),
        ({"op": "Unheard", "domain": "elsewhere"}, "Plugin not found"),
    ],
)
def test_parser_error_names_the_node(rtx, tmp_path, made, reason) -> None:
    with pytest.raises(BuildError, match=reason) as refused:
        build(write_graph(tmp_path / "bad.onnx", **made), rtx)
    assert f"{made.get('op', 'Conv')} 'restorer/intro'" in str(refused.value)
    assert "cuda" not in str(refused.value).lower()


def test_turing_refuses_float32_products_with_a_hint(rtx, tmp_path) -> None:
    weight = numpy_helper.from_array(np.ones((64, 64), np.float32), "weight")
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, "height", 64])
    product = helper.make_node("MatMul", ["image", "weight"], ["y"], name="router/product")
    made = helper.make_graph(
        [product], "graph", [image], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [weight]
    )
    path = tmp_path / "product.onnx"
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    fixed = Profile(*[(1, 3, 64, 64)] * 3)
    with pytest.raises(BuildError, match=r"router/product(.|\n)*leave 7.5 out"):
        build(path, rtx, profiles=(fixed,), compute_capabilities=("7.5", "8.6"))


def terminate(number: int, frame: object) -> None:
    sys.exit(128 + number)


@pytest.mark.parametrize(
    ("number", "handler", "raised"),
    [
        (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
        (signal.SIGTERM, terminate, SystemExit),
    ],
)
def test_a_signal_stops_the_build(rtx, graph, number, handler, raised) -> None:
    class Phases(Progress):
        """Counts the phases of a build, interrupted in the first of them where asked."""

        started, interrupt = 0, False

        def add_task(self, *args, **kwargs):
            self.started += 1
            if self.interrupt and self.started == 1:
                signal.pthread_kill(threading.main_thread().ident, number)
                time.sleep(0.5)
            return super().add_task(*args, **kwargs)

    whole, interrupted = Phases(disable=True), Phases(disable=True)
    build(graph, rtx, whole)
    interrupted.interrupt = True
    # A process started in the background ignores Ctrl-C, so the test sets Python's own handler.
    before = signal.signal(number, handler)
    try:
        with pytest.raises(raised):
            build(graph, rtx, interrupted)
    finally:
        signal.signal(number, before)
    assert whole.tasks == []
    assert 1 <= interrupted.started < whole.started


@pytest.mark.parametrize("spoil", [lambda plan: b"{}" + plan, lambda plan: plan + b"{}", lambda plan: plan[:-1]])
def test_plan_must_be_whole(rtx, graph, spoil) -> None:
    plan = build(graph, rtx).plan
    check_plan(plan, rtx)
    with pytest.raises(BuildError, match="damaged"):
        check_plan(spoil(plan), rtx)


def test_missing_library_tells_what_to_install(monkeypatch) -> None:
    def refuse(name: str) -> ModuleType:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("lorair_export.tensorrt.flavour.importlib.import_module", refuse)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[rtx\]'") as missing:
        find_tensorrt("rtx")
    assert missing.value.exit_code == 3
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'lorair\[tensorrt\]'"):
        find_tensorrt("auto")


def test_classic_that_torch_has_no_gpu_for_is_refused_before_the_export(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", classic_module("11.4.0.106"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    target = tmp_path / "bundle"
    arguments = ["--ckpt", str(tmp_path / "nowhere.pt"), "-o", str(target), "--backend", "tensorrt"]
    monkeypatch.setattr("sys.argv", ["lorair-export", "trt", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == 3 and "torch sees none" in told and "--backend rtx" in told
    assert list(tmp_path.iterdir()) == []


def test_classic_without_a_driver_is_unavailable(graph) -> None:
    module = classic_module("11.4.0.106")

    def refuse(log) -> None:
        log.log(module.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    module.Builder = refuse
    with pytest.raises(RuntimeUnavailableError, match=r"failure with error: 35.*--backend rtx"):
        build(graph, Flavour(module))
