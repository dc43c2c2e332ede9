"""ONNX -> plan: every option of a classic TensorRT that is not there, and real builds by TensorRT-RTX on the CPU."""

import logging
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from lorair_export.bundle import Profile
from lorair_export.errors import BuildError
from lorair_export.tensorrt import EngineOptions, Flavour, checked_targets
from lorair_export.tensorrt.builder import check_plan
from lorair_export.tensorrt.timing_cache import write_timing_cache
from onnx import TensorProto, helper, numpy_helper

from lorair.errors import RuntimeUnavailableError


def test_classic_build_passes_every_option(graph, caplog, build, classic, profile) -> None:
    module = classic("10.16.1.11", FP16=2)
    with caplog.at_level(logging.WARNING):
        engine = build(graph, Flavour(module), opt_level=5, workspace_mib=3, name="short")
    network, config = module.built
    assert (network.flags, network.name) == (0b10, "short")
    assert config.profiles[0].shapes == ("image", profile.min, profile.opt, profile.max)
    assert (config.builder_optimization_level, config.pools) == (5, {0: 3 * 2**20})
    assert not hasattr(config, "num_compute_capabilities")
    assert (engine.plan, engine.activation_bytes) == (b"a classic plan", (4096,))
    assert caplog.messages == ["a warning of the library"]


def test_classic_build_passes_on_what_a_flavour_may_reject(graph, tmp_path, build, classic) -> None:
    module, kept = classic("11.4.0.106"), tmp_path / "timings"
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
    write_timing_cache(SimpleNamespace(serialize=lambda: b"timed"), tmp_path / "gone" / "timings")
    assert "--timing-cache was not written" in caplog.text


def test_rtx_builds_a_version_compatible_plan(rtx, graph, build) -> None:
    plain = build(graph, rtx, compute_capabilities=("8.6",)).plan
    compatible = build(graph, rtx, compute_capabilities=("8.6",), options=EngineOptions(version_compatible=True)).plan
    assert compatible[:4] == b"vtrt" and compatible != plain


def test_rtx_builds_one_portable_plan_without_a_gpu(rtx, graph, build, profile) -> None:
    engine = build(graph, rtx, profiles=(profile, profile), name="lorair tiny fp32")
    assert engine.plan[:4] == b"vtrt"
    assert int.from_bytes(engine.plan[16:24], "little") == len(engine.plan)
    assert b"lorair tiny fp32" in engine.plan
    pixels = 2 * 96 * 128
    assert len(engine.activation_bytes) == 2
    assert all(memory >= 4 * 8 * pixels for memory in engine.activation_bytes)


def test_one_plan_serves_all_targets(rtx, graph, build) -> None:
    def plan(*targets: str) -> bytes:
        return build(graph, rtx, compute_capabilities=targets).plan

    assert checked_targets(rtx, ()) == ("8.6", "8.9", "12.0")
    assert len(plan("8.6", "8.9", "12.0")) < 1.1 * len(plan("8.6"))


def test_a_missing_profile_is_an_error(rtx, graph, build) -> None:
    with pytest.raises(BuildError, match="no optimization profile"):
        build(graph, rtx, profiles=())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"weight_dtype": np.float16}, "must be of same type"),
        ({"op": "Unheard", "domain": "elsewhere"}, "Plugin not found"),
    ],
)
def test_parser_error_names_the_node(rtx, tmp_path, made, reason, build, write_graph) -> None:
    with pytest.raises(BuildError, match=reason) as rejected:
        build(write_graph(tmp_path / "bad.onnx", **made), rtx)
    assert f"{made.get('op', 'Conv')} 'restorer/intro'" in str(rejected.value)
    assert "cuda" not in str(rejected.value).lower()


def test_turing_rejects_float32_products_with_a_hint(rtx, tmp_path, build) -> None:
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


@pytest.mark.parametrize("spoil", [lambda plan: b"{}" + plan, lambda plan: plan + b"{}", lambda plan: plan[:-1]])
def test_plan_must_be_whole(rtx, graph, spoil, build) -> None:
    plan = build(graph, rtx).plan
    check_plan(plan, rtx)
    with pytest.raises(BuildError, match="damaged"):
        check_plan(spoil(plan), rtx)


def test_classic_without_a_driver_is_unavailable(graph, build, classic) -> None:
    module = classic("11.4.0.106")

    def start(log) -> None:
        log.log(module.ILogger.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    module.Builder = start
    with pytest.raises(RuntimeUnavailableError, match=r"failure with error: 35.*--backend rtx"):
        build(graph, Flavour(module))


def test_too_little_workspace_names_the_options(rtx, graph, build) -> None:
    with pytest.raises(BuildError, match=r"(?s)workspace.*raise --workspace, or lower --max-shape"):
        build(graph, rtx, workspace_mib=1)
