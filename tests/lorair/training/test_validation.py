"""What is measured of a model in training, against the same figures one by one."""

import pytest
import torch

from lorair.data import Batch, ValidationPairs
from lorair.images import psnr
from lorair.training.validation import mean_priors, quality, restored_psnr, router_accuracy


def test_evaluation_by_degradation(make_model) -> None:
    model = make_model()
    images = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        routing = model.route(images)
        plain = model.restorer(images, routing.prior, torch.zeros_like(routing.gates)).clamp(0, 1)
    hits = (routing.gates.argmax(1) == labels).double()
    pairs = [Batch(images, plain + 2 / 255, labels)]
    assert router_accuracy(model, pairs)["noise"] == hits[[0, 3]].mean()
    assert set(restored_psnr(model, pairs, experts=True)) == {"noise", "rain", "haze"}
    unclipped = (plain < 1 - 3 / 255).all()
    assert not unclipped or restored_psnr(model, pairs, experts=False)["rain"] == pytest.approx(42.1, abs=0.2)
    with pytest.raises(ValueError, match="no images of snow"):
        mean_priors(model, pairs)
    filled = [Batch(images, images, torch.tensor([0, 1, 2, 3])), Batch(images[:1], images[:1], torch.tensor([3]))]
    expected = torch.stack([*routing.prior[:3], (routing.prior[3] + routing.prior[0]) / 2])
    torch.testing.assert_close(mean_priors(model, filled), expected, atol=1e-5, rtol=1e-4)


def test_quality_is_what_is_measured_apart_and_routes_an_image_once(make_model, photographs, monkeypatch) -> None:
    model = make_model()
    pairs = ValidationPairs(photographs, model.degradations, crop=24)
    plain, expert = restored_psnr(model, pairs, experts=False), restored_psnr(model, pairs, experts=True)
    accuracy, route, routed = router_accuracy(model, pairs), model.route, []
    monkeypatch.setattr(model, "route", lambda images: routed.append(len(images)) or route(images))
    measured = quality(model, pairs)
    assert sum(routed) == len(pairs)
    for name, figures in measured.items():
        assert (figures.plain_psnr, figures.expert_psnr, figures.accuracy) == pytest.approx(
            (plain[name], expert[name], accuracy[name])
        )
        images = [b for b in pairs if model.degradations[int(b.labels)] == name]
        degraded = [psnr(b.degraded, b.clean, rounded=True).item() for b in images]
        assert figures.input_psnr == pytest.approx(sum(degraded) / len(degraded))
