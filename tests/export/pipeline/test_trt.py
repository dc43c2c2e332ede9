import shutil
from functools import partial
from types import ModuleType, SimpleNamespace

import pytest
import torch
from lorair_export.bundle import Graph, Manifest, Profile, TensorSpec, file_sha256, read_bundle, write_manifest
from lorair_export.cli.shapes import profiles_from, shape_from
from lorair_export.pipeline import DEFAULT_PROFILE, ExportPlan
from lorair_export.pipeline.engines import add_engines, engine_name
from lorair_export.pipeline.shapes import bounded, default_profiles, graph_spec_from_profiles, sides_taken
from lorair_export.runtimes.onnxruntime import OnnxRuntime
from lorair_export.runtimes.tensorrt import EngineRuntime
from lorair_export.spec import GraphRequest, Lowering
from lorair_export.tensorrt.builder import EngineSpec
from lorair_export.tensorrt.flavour import Flavour

SMALL = Profile((1, 3, 48, 48), (1, 3, 64, 64), (1, 3, 96, 160))


def flavour(version: str, **members: int) -> Flavour:
    module = ModuleType("fake")
    module.__version__ = version
    if members:
        module.ComputeCapability = SimpleNamespace(__members__=members)
    return Flavour(module)


def test_file_names_say_what_a_plan_needs() -> None:
    rtx = flavour("1.7.1.116", SM75=75, SM86=86, SM120=120)
    assert rtx.compute_capabilities == ("7.5", "8.6", "12.0")
    assert engine_name(rtx, "fp32", ("8.6", "8.9", "12.0")) == "model.fp32.rtx1.7.1.engine"
    assert engine_name(rtx, "fp32", ("8.6",)) == "model.fp32.rtx1.7.1.sm86.engine"
    assert engine_name(flavour("11.4.0.106"), "fp32", ("9.0",)) == "model.fp32.trt11.4.0.sm90.plan"


def test_graph_holds_every_profile() -> None:
    spec, _ = graph_spec_from_profiles([SMALL], GraphRequest())
    assert (spec.lowering, spec.max_batch, spec.min_size, spec.max_size) == (Lowering.MERGED, 1, 48, 160)
    larger = Profile((1, 3, 32, 64), (2, 3, 64, 64), (4, 3, 64, 64))
    spec, reasons = graph_spec_from_profiles([SMALL, larger], GraphRequest())
    assert (spec.lowering, spec.max_batch, spec.min_size, spec.max_size) == (Lowering.LOW_RANK, 4, 32, 160)
    assert "4 images" in reasons[0]


def test_profiles_of_one_shape_make_a_graph_of_that_shape() -> None:
    spec, _ = graph_spec_from_profiles(
        [Profile(*[(3, 3, 64, 96)] * 3)], GraphRequest(routing="pinned:rain", io="uint8")
    )
    assert (spec.shape, spec.fixed_batch, spec.max_batch) == ((64, 96), True, 3)
    assert (spec.lowering, spec.pinned, spec.io) == (Lowering.PLAIN, "rain", "uint8")


def test_sides_reach_to_those_of_any_aspect_in_the_largest_profile() -> None:
    assert sides_taken([SMALL]) == (48, 96)
    assert sides_taken([Profile(*[(1, 3, 256, 256)] * 3), SMALL]) == (48, 256)
    assert sides_taken([Profile(*[(1, 3, 64, 96)] * 3)]) == (64, 96)
    with pytest.raises(ValueError, match="a square fits"):
        sides_taken([Profile((1, 3, 64, 96), (1, 3, 64, 96), (1, 3, 80, 128))])


def test_engine_s_border_holds_what_its_profiles_fix() -> None:
    image = TensorSpec("image", "float32", ("batch", 3, "height", "width"))
    gates = TensorSpec("gates", "float32", ("batch", 5))
    wide = Profile((2, 3, 64, 96), (2, 3, 64, 96), (2, 3, 64, 160))
    assert [tensor.shape for tensor in bounded((image, gates), [wide])] == [(2, 3, 64, "width"), (2, 5)]
    assert bounded((image, gates), [wide, SMALL])[0].shape == ("batch", 3, "height", "width")


def test_shapes_of_the_command_line() -> None:
    assert shape_from("1x3x256X384") == (1, 3, 256, 384)
    assert profiles_from([], ["1x3x64x64"], []) == (Profile(*[(1, 3, 64, 64)] * 3),)
    assert profiles_from(["1x3x48x48"], ["1x3x64x64"], ["1x3x96x160"]) == (SMALL,)
    assert profiles_from() == () and DEFAULT_PROFILE.max == (1, 3, 512, 512)
    assert profiles_from(batch=4) == (Profile((4, 3, 64, 64), (4, 3, 256, 256), (4, 3, 512, 512)),)
    assert profiles_from(shape=(48, 64)) == (Profile(*[(1, 3, 48, 64)] * 3),)
    with pytest.raises(ValueError, match="got 1, 2 and 1"):
        profiles_from(["1x3x32x32"] * 2, ["1x3x64x64"], [])
    for wrong in ("3x64x64", "1x4x64x64", "1x3x64x-1", "image:1x3x8x8"):
        with pytest.raises(ValueError, match="1x3x256x256"):
            shape_from(wrong)


def test_an_engine_lies_next_to_its_graph(rtx, merged, tmp_path) -> None:
    folder = shutil.copytree(merged.folder, tmp_path / "bundle")
    add_engines(folder, merged.manifest, rtx, EngineSpec((SMALL,)))
    manifest = read_bundle(folder)
    (graph,) = manifest.graphs
    assert (manifest.runtime, graph.file) == ("tensorrt", engine_name(rtx, "fp32", ("8.6", "8.9", "12.0")))
    assert set(manifest.files) == {"model.onnx", graph.file} and graph.profiles == (SMALL,)
    assert (manifest.size_range, manifest.parity) == ((48, 96), merged.manifest.parity)
    assert manifest.engine.version == rtx.version and manifest.engine.parity == ()
    assert graph.activation_mib[0] > 4 * 16 * 96 * 160 / 2**20
    assert EngineRuntime.accepts(str(folder)) and not OnnxRuntime.accepts(str(folder))
    images = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    restored, _ = OnnxRuntime.open(str(folder / "model.onnx"), "cpu").restore(images, None)
    expected, _ = OnnxRuntime.open(str(merged.folder), "cpu").restore(images, None)
    torch.testing.assert_close(restored, expected)


@pytest.fixture
def run(run_command):
    return partial(run_command, "lorair-export", "trt")


def test_command_writes_a_bundle_and_its_summary(
    rtx, graph_of_merged, export_checkpoint, run, tmp_path, capsys
) -> None:
    target = tmp_path / "bundle"
    shapes = ["--min-shape", "1x3x48x48", "--opt-shape", "1x3x64x64", "--max-shape", "1x3x96x96"]
    code = run("--ckpt", str(export_checkpoint), "-o", str(target), "--backend", "rtx", *shapes)
    told = capsys.readouterr().err
    assert code == 0, told
    manifest = read_bundle(target)
    assert manifest.engine.flavour == "rtx" and len(manifest.parity) > 0
    assert str(target / manifest.graphs[0].file) in told and "8.6, 8.9, 12.0" in told
    assert "accuracy of the graph: " in told and "accuracy of the engine: not checked" in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--backend", "rtx", "--compute-capability", "9.0"], 5, "it knows 7.5"),
        (["--backend", "rtx", "--opt-level", "3"], 5, "--opt-level"),
        (["--backend", "rtx", "--hw-compat", "ampere+"], 5, "--hw-compat ampere+"),
        (["--backend", "rtx", "--timing-cache", "timings"], 5, "--timing-cache"),
        (["--opt-shape", "64x64"], 2, "1x3x256x256"),
        (["--min-shape", "1x3x64x64", "--opt-shape", "1x3x32x32"], 2, "min <= opt <= max"),
        (["--max-shape", "2x3x64x64", "--opt-shape", "1x3x64x64", "--lowering", "merged"], 2, "use low-rank"),
        (["--imgsz", "64", "--opt-shape", "1x3x64x64"], 2, "stand for shapes"),
        (["--routing", "experts", "--imgsz", "64"], 2, "--routing split"),
    ],
)
def test_rejected_before_anything_is_done(rtx, export_checkpoint, run, tmp_path, capsys, options, code, words):
    target = tmp_path / "bundle"
    assert run("--ckpt", str(export_checkpoint), "-o", str(target), *options) == code
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_has_targets_of_the_precision_and_options(
    rtx, export_checkpoint, run, tmp_path, capsys, read_json
) -> None:
    options = ["--backend", "rtx", "--precision", "fp8", "--version-compatible", "--dry-run", "--json"]
    assert run("--ckpt", str(export_checkpoint), "-o", str(tmp_path / "bundle"), *options) == 0
    told = read_json(ExportPlan, capsys.readouterr().out)["engine"]
    assert told["compute_capabilities"] == ["8.9", "12.0"]
    assert (told["version_compatible"], told["refit"], told["hw_compat"]) == (True, False, "none")


def test_a_bundle_s_precision_rules_targets_out_at_once(rtx, run, tmp_path, capsys) -> None:
    image = TensorSpec("image", "float32", ("batch", 3, "height", "width"))
    (tmp_path / "fp8").mkdir()
    (tmp_path / "fp8" / "model.onnx").write_bytes(b"no graph, since none is to be read")
    manifest = Manifest(
        runtime="onnx",
        graphs=(Graph("model", "model.onnx", (image,), (image,), (16, 512)),),
        files={"model.onnx": file_sha256(tmp_path / "fp8" / "model.onnx")},
        versions={},
        checkpoint="0" * 64,
        lowering="low-rank",
        precision="fp8",
        opset=20,
        max_batch=1,
        degradations=("noise",),
        local_window=None,
    )
    write_manifest(tmp_path / "fp8", manifest)
    options = ["--backend", "rtx", "--compute-capability", "8.6", "--dry-run"]
    assert run("--ckpt", str(tmp_path / "fp8"), "-o", str(tmp_path / "engine"), *options) == 5
    assert "8.6 does not compute in fp8" in capsys.readouterr().err


def test_command_builds_both_graphs_of_a_fixed_size(rtx, brief_models, run, tmp_path, capsys) -> None:
    target = tmp_path / "bundle"
    options = ["--routing", "split", "--imgsz", "48,64", "--batch", "2", "--no-check"]
    assert run("--ckpt", str(brief_models[1][1]), "-o", str(target), "--backend", "rtx", *options) == 0
    router, restorer = read_bundle(target).graphs
    told = capsys.readouterr().err
    assert f"wrote {target / router.file}" in told and f"wrote {target / restorer.file}" in told
    assert "profile 2x3x48x64 .. 2x3x48x64 .. 2x3x48x64, " in told and "MiB of GPU memory at its largest" in told
    assert (restorer.fixed_batch, restorer.shape, restorer.size_range) == (2, (48, 64), (48, 64))
    assert router.shape is None and router.size_range == (2, 2048)


def test_command_builds_from_the_bundle_of_a_graph(rtx, low_rank, run, tmp_path, capsys) -> None:
    target = tmp_path / "bundle"
    shapes = ["--min-shape", "1x3x48x48", "--opt-shape", "1x3x64x64", "--max-shape", "1x3x96x96"]
    code = run("--ckpt", str(low_rank.folder), "-o", str(target), "--backend", "rtx", *shapes)
    assert code == 0, capsys.readouterr().err
    manifest = read_bundle(target)
    assert manifest.files["model.onnx"] == low_rank.manifest.files["model.onnx"]
    assert manifest.parity == low_rank.manifest.parity and manifest.lowering == low_rank.manifest.lowering
    assert (manifest.runtime, manifest.size_range, manifest.max_batch) == ("tensorrt", (48, 96), 1)
    again = tmp_path / "again"
    assert run("--ckpt", str(target), "-o", str(again), "--backend", "rtx", *shapes) == 4
    assert "holds an engine" in capsys.readouterr().err and not again.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--opt-shape", "1x3x256x256"], "name shapes within that"),
        (["--opt-shape", "64x3x64x64"], "name shapes within that"),
        (["--opt-shape", "1x3x64x64", "--precision", "fp16"], "--precision fp16"),
        (["--opt-shape", "1x3x64x64", "--routing", "split"], "--routing split"),
        (["--opt-shape", "1x3x64x64", "--io", "uint8"], "--io uint8"),
    ],
)
def test_graph_must_hold_what_is_asked(rtx, merged, run, tmp_path, capsys, options, words) -> None:
    target = tmp_path / "bundle"
    assert run("--ckpt", str(merged.folder), "-o", str(target), "--backend", "rtx", *options) == 2
    assert words in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_bundle_of_one_shape_names_it(form_of, merged) -> None:
    assert default_profiles(form_of("tiles").manifest) == (Profile(*[(3, 3, 48, 64)] * 3),)
    assert default_profiles(merged.manifest) == default_profiles(None) == (DEFAULT_PROFILE,)
