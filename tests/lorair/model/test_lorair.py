"""The model's interface: any size, named degradations and self-description."""

import pytest
import torch


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
    with pytest.raises(ValueError, match="unknown degradation 'fog'; choose one of noise, rain, haze, snow"):
        model(images, "fog")
    model.mean_priors = None
    with pytest.raises(ValueError, match="carries no mean priors"):
        model(images, "haze")


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_wrong_images_are_rejected(make_model, images):
    with pytest.raises(ValueError, match=r"images must be floating \[B, 3, H, W\]"):
        make_model()(images)


def test_the_model_describes_itself(make_model):
    model = make_model()
    descriptor = model.descriptor
    assert descriptor.degradations == ("noise", "rain", "haze", "snow")
    assert descriptor.size_multiple == 4
    assert descriptor.local_window == 48
    assert descriptor.parameters == sum(p.numel() for p in model.parameters())
    assert "degradations=('noise', 'rain', 'haze', 'snow'), top_k=1" in repr(model)
