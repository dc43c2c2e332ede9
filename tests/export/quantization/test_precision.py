"""Precisions: what the numbers are, what a graph in them restores and holds, and what builds from it."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from lorair_export.bundle import Profile
from lorair_export.bundle.parity import psnr_db
from lorair_export.cli.exported import precision_lines
from lorair_export.cli.precision import calibration_from
from lorair_export.errors import BuildError, ExportError
from lorair_export.graph import session as graph_session
from lorair_export.graph.audit import checked_shares, convolution_types, multiplication_shares
from lorair_export.graph.onnx import check_file
from lorair_export.graph.session import cpu_session, observed, save_graph
from lorair_export.pipeline import onnx as bundle
from lorair_export.quantization import bundle_precision
from lorair_export.quantization.bundle_precision import bundle_in_8_bits, recorded_feeds
from lorair_export.quantization.calibration import CENTRES, Calibration, Magnitudes, calibration_images
from lorair_export.quantization.quantize import (
    block_of,
    convolutions_of_constants,
    quantised,
    quantised_kernel,
    with_quantisers,
)
from lorair_export.spec import GraphSpec, Lowering
from lorair_export.spec.precision import PRECISIONS, able, chosen_opset
from lorair_export.tensorrt.audit import check_read
from lorair_export.tensorrt.builder import EngineSpec, engine_from_onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from lorair.photographs import examples

INT8, FP8 = PRECISIONS["int8"].eight_bit, PRECISIONS["fp8"].eight_bit
FEW = Calibration(size=3)


def small_graph(dtype: int = TensorProto.FLOAT, opset: int = 22) -> onnx.ModelProto:
    """image [1, 3, height, width] -> Conv, square, grouped Conv -> restored; Casts at the border."""
    rng = np.random.default_rng(0)
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    kernels = {"w1": rng.standard_normal((8, 3, 3, 3)), "w2": rng.standard_normal((4, 2, 1, 1))}
    constants = [numpy_helper.from_array(value.astype(numpy_type), name) for name, value in kernels.items()]
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=dtype),
        helper.make_node("Conv", ["x", "w1"], ["y"], name="restorer/blocks/0/conv1/Conv", pads=[1] * 4),
        helper.make_node("Mul", ["y", "y"], ["z"]),
        helper.make_node("Conv", ["z", "w2"], ["u"], name="restorer/blocks/1/conv1/Conv", group=4),
        helper.make_node("Cast", ["u"], ["restored"], to=TensorProto.FLOAT),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "height", "width"])
    restored = helper.make_tensor_value_info("restored", TensorProto.FLOAT, [1, 4, "height", "width"])
    graph = helper.make_graph(nodes, "graph", [image], [restored], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def feed(height: int = 12, width: int = 10) -> dict[str, np.ndarray]:
    return {"image": np.random.default_rng(1).random((1, 3, height, width), np.float32)}


def test_rounding_is_that_of_the_type():
    values = np.concatenate([np.linspace(-600, 600, 4001), np.linspace(-0.02, 0.02, 401)]).astype(np.float32)
    expected = torch.from_numpy(values.clip(-448, 448)).to(torch.float8_e4m3fn).float().numpy()
    np.testing.assert_array_equal(FP8.rounded(values).astype(np.float32), expected)
    whole = torch.from_numpy(values).round().clamp(-127, 127).to(torch.int8).numpy()
    np.testing.assert_array_equal(INT8.rounded(values), whole)


def test_the_scale_loses_least():
    """One outlier among normal values: the best of many clipping points by exact error, in float64."""
    values = np.random.default_rng(0).standard_normal(400_000).astype(np.float32)
    values[0] = 12
    magnitudes = Magnitudes()
    for part in np.split(values, 4):
        magnitudes.add(part)
    assert magnitudes.counts.sum() == 400_000 and magnitudes.largest == 12

    def loss(scale: float) -> float:
        exact = values.astype(np.float64)
        return float(((np.clip(np.rint(exact / scale), -127, 127) * scale - exact) ** 2).mean())

    best = min(loss(clip / 127) for clip in np.linspace(2, 12, 100))
    assert loss(magnitudes.scale(INT8)) < 1.05 * best < loss(12 / 127) / 2
    assert CENTRES[0] < 1e-6 and Magnitudes().scale(INT8) == 1


@pytest.mark.parametrize("name", ["int8", "fp8"])
def test_quantisers_are_those_of_the_standard(name):
    """Against ONNX's own evaluator, and against float32: as far off as 8 bits are, and no further."""
    model, number = small_graph(opset=20), PRECISIONS[name].eight_bit
    nodes = {node.name for node in convolutions_of_constants(model)}
    largest = next(observed(model, ["x", "z"], [feed()]))
    scales = {name: float(values.max()) / number.largest for name, values in largest.items()}
    model = with_quantisers(model, nodes, scales, number)
    onnx.checker.check_model(model, full_check=True)
    restored = cpu_session(model).run(["restored"], feed())[0]
    expected = ReferenceEvaluator(model).run(["restored"], feed())[0]
    plain = ReferenceEvaluator(small_graph(opset=20)).run(["restored"], feed())[0]
    np.testing.assert_allclose(restored, expected, atol=1e-4)
    error = np.abs(restored - plain).mean() / np.abs(plain).mean()
    assert 1e-3 < error < (0.05 if name == "int8" else 0.15)
    assert convolution_types(model) == dict.fromkeys(nodes, name)
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored["w1.quantised"] == stored["w2.quantised"] == number.type and "w1" not in stored


def test_products_of_kernels_fit_in_16_bits_by_pairs():
    """As 8-bit activations are 0 to 255 there; and a kernel is off by half a step at most."""
    kernel = np.random.default_rng(0).standard_normal((8, 6, 3, 3)).astype(np.float32)
    steps, scales = quantised_kernel(kernel, INT8)
    assert steps.dtype == np.int8 and 2 * 255 * np.abs(steps.astype(int)).max() <= 32767
    assert (np.abs(steps.astype(int)).reshape(8, -1).max(1) == 64).all()
    off = steps - kernel / scales.reshape(-1, 1, 1, 1)
    assert 0.4 < np.abs(off).max() < 0.5001


def test_bfloat16_is_computed_as_torch_does():
    model = small_graph(TensorProto.BFLOAT16)
    restored = cpu_session(model).run(["restored"], feed())[0]
    kernels = [torch.from_numpy(numpy_helper.to_array(t).astype(np.float32)) for t in model.graph.initializer]
    y = torch.conv2d(torch.from_numpy(feed()["image"]).bfloat16().float(), kernels[0], padding=1).bfloat16()
    expected = torch.conv2d((y * y).float(), kernels[1], groups=4).bfloat16().float().numpy()
    np.testing.assert_allclose(restored, expected, rtol=2**-7, atol=1e-3)
    assert np.mean(restored == expected) > 0.95
    with pytest.raises(Exception, match="Conv"):
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_multiplications_are_counted():
    model = small_graph()
    plain = with_quantisers(model, {"restorer/blocks/1/conv1/Conv"}, {"z": 1.0}, INT8)
    shares = multiplication_shares(plain)
    assert shares == pytest.approx({"fp32": 8 * 27 / (8 * 27 + 4 * 2), "int8": 4 * 2 / (8 * 27 + 4 * 2)})


def test_a_file_that_onnx_rejects_is_no_graph(tmp_path):
    model = small_graph()
    save_graph(model, tmp_path / "model.onnx")
    check_file(tmp_path / "model.onnx")
    model.graph.node[1].input[1] = "nowhere"
    save_graph(model, tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=r"checker.*nowhere"):
        check_file(tmp_path / "model.onnx")


def test_what_quantising_wrote_is_checked(form_of, monkeypatch, tmp_path):
    """The quantiser is made to lose a kernel's scale after it has measured; no bundle may be left of that."""

    def careless(*arguments):
        result = quantised(*arguments)
        scale = next(tensor for tensor in result.model.graph.initializer if tensor.name.endswith(".scale"))
        result.model.graph.initializer.remove(scale)
        return result

    monkeypatch.setattr(bundle_precision, "quantised", careless)
    with pytest.raises(ExportError, match="checker"):
        bundle_in_8_bits(form_of("pinned").folder, tmp_path / "out", "int8", Calibration(size=1))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_of_another_precision_is_rejected():
    with pytest.raises(ExportError, match=r"fp16.*100% fp32"):
        checked_shares(small_graph(), "fp16")
    assert checked_shares(small_graph(TensorProto.FLOAT16), "fp16") == {"fp16": 1.0}


def test_harmful_blocks_stay_float32():
    """The second convolution has inputs that reach far beyond most of them, so it is the one that is kept."""
    model, feeds = small_graph(), [feed(), feed(20, 16)]
    whole = quantised(model, feeds, INT8, "", 0)
    assert whole.kept == ()
    part = quantised(model, feeds, INT8, "", whole.psnr_db + 1)
    assert len(part.kept) == 1 and part.psnr_db >= whole.psnr_db + 1
    others = {block_of(node.name) for node in convolutions_of_constants(model)} - set(part.kept)
    alone = {"fp32": part.kept, "int8": tuple(others)}
    for name, kind in convolution_types(part.model).items():
        assert block_of(name) in alone[kind]
    assert set(convolution_types(quantised(model, feeds, INT8, "blocks/0", 0).model).values()) == {"fp32", "int8"}
    with pytest.raises(ExportError, match="calib-data"):
        quantised(model, feeds, INT8, "", 200)
    with pytest.raises(ExportError, match="no convolution"):
        quantised(model, feeds, INT8, "restorer", 0)


def test_names_of_blocks():
    assert block_of("restorer/net/encoders/1/blocks/0/conv2/down/Conv") == "restorer/net/encoders/1/blocks/0"
    assert block_of("restorer/net/downs/2/base/Conv") == "restorer/net/downs/2"
    assert block_of("restorer/other/Conv") == "restorer/other"


def test_an_expert_that_no_image_goes_to_is_calibrated_all_the_same(form_of):
    """Without mean priors too, from which a degradation could be named."""
    source = form_of("experts")
    feeds = recorded_feeds(source.folder, replace(source.manifest, mean_priors=()), Calibration(size=1))
    assert [len(feeds[graph.name]) > 0 for graph in source.manifest.graphs] == [True] * len(source.manifest.graphs)


def test_calibration_images(tmp_path):
    own = calibration_images(Calibration(size=9), ("noise", "mosquitoes"), (24, 40))
    assert len(own) == 9 and all(image.shape == (1, 3, 24, 40) and image.dtype == torch.float32 for image in own)
    clean = calibration_images(Calibration(size=2), (), (24, 40))
    assert psnr_db(own[0], clean[0]) == 200 and psnr_db(own[1], clean[1]) < 35
    shutil.copy(examples()[0], tmp_path / "mine.jpg")
    mine = Calibration(tmp_path, 9)
    assert len(calibration_images(mine, ("noise",), (24, 40))) == mine.images == 1
    (tmp_path / "mine.jpg").unlink()
    with pytest.raises(ValueError, match="--calib-data"):
        Calibration(tmp_path)
    with pytest.raises(ValueError, match="--calib-size"):
        Calibration(size=0)
    with pytest.raises(ValueError, match="no regular expression"):
        Calibration(keep_fp32="(")


@pytest.mark.parametrize("precision", ["fp16", None])
def test_options_of_what_is_not_quantised_are_rejected(tmp_path, precision):
    for folder, size, keep in ((tmp_path, None, ""), (None, 8, ""), (None, None, "downs")):
        with pytest.raises(ValueError, match="nothing is quantised"):
            calibration_from(precision, folder, size, keep)
    assert calibration_from(precision, None, None, "") == calibration_from("fp8", None, None, "") == Calibration()
    assert calibration_from("int8", None, 8, "downs") == Calibration(None, 8, "downs")


def test_the_command_prints_what_stayed_float32(form_of):
    manifest = form_of("low-rank", "int8").manifest
    kept = replace(manifest.numerics.quantized, keep_fp32="/downs/", kept={"model": ("restorer/net/ups/0",)})
    told = list(precision_lines(replace(manifest, numerics=replace(manifest.numerics, quantized=kept))))[-1]
    assert told.startswith("kept in float32 in model: the first and last convolution, what runs on the prior, ")
    assert told.endswith("what --keep-fp32 '/downs/' names, restorer/net/ups/0")


def test_large_weights_lie_next_to_the_graph(rtx, form_of, monkeypatch, tmp_path):
    source, path = form_of("pinned", "int8").folder / "model.onnx", tmp_path / "model.onnx"
    monkeypatch.setattr(graph_session, "MOST_BYTES", 1000)
    save_graph(onnx.load(source), path)
    assert path.stat().st_size + (tmp_path / "model.onnx.data").stat().st_size > 0.9 * source.stat().st_size
    assert path.stat().st_size < 0.9 * source.stat().st_size
    onnx.checker.check_model(str(path), full_check=True)
    image = {"image": np.random.default_rng(0).random((1, 3, 48, 64), np.float32)}
    expected, restored = (cpu_session(onnx.load(file)).run(["restored"], image)[0] for file in (source, path))
    np.testing.assert_array_equal(restored, expected)
    profile = Profile(*[(1, 3, 48, 64)] * 3)
    assert len(engine_from_onnx(path, rtx, EngineSpec((profile,), precision="int8")).plan) > source.stat().st_size


def test_a_network_read_in_another_precision_is_rejected(tmp_path):
    """A parser that reads every convolution as float32 must not pass."""
    kinds = SimpleNamespace(__members__={"CONVOLUTION": 0, "DEQUANTIZE": 1})
    tensor = SimpleNamespace(name="x", dtype=SimpleNamespace(name="FLOAT"))
    layer = SimpleNamespace(type=0, get_input=lambda index: tensor)
    network = SimpleNamespace(num_layers=2, get_layer=lambda index: layer)
    trt = SimpleNamespace(LayerType=kinds, __version__="1")
    save_graph(small_graph(TensorProto.FLOAT16), tmp_path / "half.onnx")
    save_graph(small_graph(), tmp_path / "full.onnx")
    check_read(network, trt, tmp_path / "full.onnx")
    with pytest.raises(BuildError, match="2 convolutions in fp16, and TensorRT 1 reads 0"):
        check_read(network, trt, tmp_path / "half.onnx")


def test_what_a_precision_needs():
    assert chosen_opset(None, "fp16") == (20, "") and chosen_opset(18, "fp32") == (18, "")
    assert chosen_opset(None, "bf16")[0] == 22
    assert able(["7.5", "8.6", "8.9", "12.0"], "fp8") == ("8.9", "12.0")
    for options, words in (
        ({"precision": "bf16"}, "--opset 22"),
        ({"precision": "fp8", "lowering": Lowering.LOW_RANK, "opset": 18}, "--opset 19"),
    ):
        with pytest.raises(ValueError, match=words):
            GraphSpec(**options)


def test_the_command_rejects_a_graph_that_is_not_what_was_asked(merged, run_command, monkeypatch, tmp_path, capsys):
    """The exporter is made to write float32; the command must not call that fp16."""
    source = merged.folder / "model.onnx"
    monkeypatch.setattr(bundle, "onnx_from_model", lambda model, path, spec, name: shutil.copy(source, path))
    words = ("--ckpt", merged.checkpoint, "-o", tmp_path / "out", "--max-size", "160", "--precision", "fp16")
    assert run_command("lorair-export", "onnx", *words) == 4
    assert "100% fp32" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
