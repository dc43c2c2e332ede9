"""Restoring images in memory, over a runtime whose answers are known."""

import numpy as np
import pytest
import torch
from PIL import Image

from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.errors import CheckpointError, LorairError
from lorair.inference import TorchRuntime, pad_reflected, restore


def test_a_model_restores_arrays_and_pictures_of_mixed_sizes(make_model):
    model = make_model()
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)
    sixteen = rng.integers(0, 65536, (17, 12, 3), dtype=np.uint16)
    picture = Image.fromarray(eight)
    restored = restore([eight, sixteen, picture], model)
    with torch.no_grad():
        expected = model(torch.from_numpy(eight).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    assert np.array_equal(restored[0], (expected * 255).round().numpy().astype(np.uint8))
    assert restored[1].dtype == np.uint16 and restored[1].shape == sixteen.shape
    assert isinstance(restored[2], Image.Image) and np.array_equal(np.asarray(restored[2]), restored[0])


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_identity_gives_arrays_back_bit_for_bit(dtype, tile: int | None, identity, noise):
    shapes = [(40, 70, 3), (33, 20, 4), (50, 41), (40, 40, 1), (9, 64, 2), (1, 1, 3)]
    images = [noise(shape, dtype) for shape in shapes]
    restored = restore(images, identity(), tile=tile, overlap=8)
    for before, after in zip(images, restored, strict=True):
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)


def test_every_level_of_sixteen_bits_survives(identity):
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(restore([levels], identity(), tile=64)[0], levels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_pil_images_come_back_in_their_mode(mode: str, identity, noise):
    shape = {"L": (30, 20), "LA": (30, 20, 2), "RGB": (30, 20, 3), "RGBA": (30, 20, 4), "I;16": (30, 20)}[mode]
    image = Image.fromarray(noise(shape, np.uint16 if mode == "I;16" else np.uint8))
    image.info["icc_profile"] = b"profile"
    restored = restore([image], identity())[0]
    assert restored.mode == mode
    assert np.array_equal(np.asarray(restored), np.asarray(image))
    assert restored.info == image.info


def test_colour_given_to_a_gray_image_is_averaged_and_alpha_is_unchanged(identity):
    tinted = identity(change=lambda images: images * torch.tensor([0.0, 0.5, 1.0])[:, None, None])
    gray_alpha = np.full((8, 8, 2), 200, np.uint8)
    restored = restore([gray_alpha], tinted)[0]
    assert np.array_equal(restored[..., 0], np.full((8, 8), 100))
    assert np.array_equal(restored[..., 1], gray_alpha[..., 1])


def test_an_image_is_routed_once_and_whole_for_all_its_tiles(identity, noise):
    runtime = identity()
    restore([noise((100, 70, 3))], runtime, tile=32, overlap=8)
    assert runtime.routed == [(100, 70)]
    assert len(runtime.restored) > 4
    assert {shape for shape, _ in runtime.restored} == {(32, 32)}
    assert len({id(routing) for _, routing in runtime.restored}) == 1


def test_a_named_degradation_is_pinned_instead_of_routed(identity, noise):
    runtime = identity()
    restore([noise((20, 20, 3))], runtime, degradation="rain")
    assert runtime.routed == []
    assert runtime.restored[0][1].gates.tolist() == [[0, 1]]


def test_sizes_that_the_runtime_does_not_take_are_padded_and_tiled(identity, noise):
    runtime = identity(size_range=(48, 64))
    images = [noise((20, 100, 3)), noise((1, 130, 3)), noise((64, 64, 3))]
    restored = restore(images, runtime, overlap=16)
    assert all(np.array_equal(after, before) for before, after in zip(images, restored, strict=True))
    assert all(48 <= side <= 64 for shape, _ in runtime.restored for side in shape)


@pytest.mark.parametrize(("size", "side"), [(1, 5), (2, 9), (3, 4), (5, 30)])
def test_padding_reflects_as_numpy_does(size: int, side: int):
    image = torch.rand(1, 3, size, 40)
    expected = np.pad(image.numpy(), ((0, 0), (0, 0), (0, side - size), (0, 0)), mode="reflect")
    assert np.array_equal(pad_reflected(image, side).numpy(), expected)


def test_what_the_runtime_does_not_support_is_rejected(identity, noise):
    pixels = [noise((20, 20, 3))]
    with pytest.raises(ValueError, match="from 48 pixels a side to 64; got tiles of 128"):
        restore(pixels, identity(size_range=(48, 64)), tile=128)
    with pytest.raises(ValueError, match="overlap"):
        restore(pixels, identity(), tile=64, overlap=40)
    with pytest.raises(ValueError, match="snow"):
        restore(pixels, identity(), degradation="snow")
    with pytest.raises(ValueError, match="got P"):
        restore([Image.new("P", (4, 4))], identity())


def test_values_that_are_not_finite_are_an_error(identity, noise):
    with pytest.raises(LorairError, match="not finite"):
        restore([noise((8, 8, 3))], identity(change=lambda images: images / 0))


def test_models_are_named_or_loaded(make_model, tmp_path):
    model = make_model()
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(model))
    image = np.full((20, 30, 3), 90, np.uint8)
    (expected,) = restore([image], model, degradation="haze")
    for named in (tmp_path / "best.pt", str(tmp_path / "best.pt"), TorchRuntime(model)):
        (restored,) = restore([image], named, degradation="haze")
        assert np.array_equal(restored, expected)
    with pytest.raises(ValueError, match="a loaded model stays on its device; got device 'cpu'"):
        restore([image], model, device="cpu")
    with pytest.raises(ValueError, match="got one image, so pass"):
        restore(image, model)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        restore([image], tmp_path / "absent.pt")
