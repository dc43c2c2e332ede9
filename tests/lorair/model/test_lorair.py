"""The model's interface: any size, named degradations, self-description, lazy imports."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import lorair


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (1, 1), (130, 9)])
def test_any_size_comes_back_in_range(make_model, size):
    with torch.no_grad():
        restored = make_model()(torch.rand(2, 3, *size))
    assert restored.shape == (2, 3, *size)
    assert restored.min() >= 0 and restored.max() <= 1


def test_a_named_degradation_needs_no_router(make_model):
    model = make_model()
    images = torch.rand(3, 3, 20, 20)
    model.router.forward = None
    with torch.no_grad():
        restored = model(images, "haze")
        gates = torch.tensor([[0.0, 0, 1, 0]]).expand(3, -1)
        expected = model.restorer(images, model.mean_priors[2].expand(3, -1), gates).clamp(0, 1)
    assert torch.equal(restored, expected)
    with pytest.raises(ValueError, match="unknown degradation 'fog'; this model knows noise, rain, haze, snow"):
        model(images, "fog")
    model.mean_priors = None
    with pytest.raises(ValueError, match="carries no mean priors"):
        model(images, "haze")


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_wrong_images_are_refused(make_model, images):
    with pytest.raises(ValueError, match=r"images must be floating \[B, 3, H, W\]"):
        make_model()(images)


def test_arrays_and_pictures_of_mixed_sizes(make_model):
    model = make_model()
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (20, 31, 3), dtype=np.uint8)
    sixteen = rng.integers(0, 65536, (17, 12, 3), dtype=np.uint16)
    picture = Image.fromarray(eight)
    restored = model.restore([eight, sixteen, picture])
    with torch.no_grad():
        expected = model(torch.from_numpy(eight).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0)
    assert np.array_equal(restored[0], (expected * 255).round().numpy().astype(np.uint8))
    assert restored[1].dtype == np.uint16 and restored[1].shape == sixteen.shape
    assert isinstance(restored[2], Image.Image) and np.array_equal(np.asarray(restored[2]), restored[0])


def test_the_model_describes_itself(make_model):
    model = make_model()
    descriptor = model.descriptor
    assert descriptor.degradations == ("noise", "rain", "haze", "snow")
    assert descriptor.size_multiple == 4
    assert descriptor.local_window == 48
    assert descriptor.parameters == sum(p.numel() for p in model.parameters())
    assert "degradations=('noise', 'rain', 'haze', 'snow'), top_k=1" in repr(model)


def test_importing_is_light():
    heavy = ("torch", "open_clip", "onnx", "tensorrt", "matplotlib", "cv2")
    code = f"import sys, lorair; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert lorair.PRESETS["tiny"].degradations == ("noise", "rain", "haze", "snow", "low_light", "jpeg")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        lorair.nothing  # noqa: B018
