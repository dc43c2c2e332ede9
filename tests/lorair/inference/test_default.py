"""The model inside the package: small enough, and better than nothing on every degradation that it names."""

import pytest
import torch

import lorair
from lorair.checkpoints import checkpoint_path, read_checkpoint
from lorair.data import PhotographFolder, ValidationPairs
from lorair.images import psnr
from lorair.photographs import examples

SEVERITIES = {
    "noise": {"sigma": 25},
    "rain": {"layers": 3},
    "haze": {"beta": 1.5},
    "snow": {"threshold": 2},
    "low_light": {"gamma": 2.5},
    "jpeg": {"quality": 15},
}


@pytest.fixture(scope="module")
def gains():
    """Mean gain in dB on crops of the example photographs, by degradation named to the model."""
    model = lorair.load(device="cpu")
    photographs = PhotographFolder(examples()[0].parent)
    pairs = ValidationPairs(photographs, model.degradations, crop=192, severity=SEVERITIES)
    found: dict[str, list[float]] = {name: [] for name in model.degradations}
    for index in range(len(pairs)):
        degraded, clean, label = pairs[index]
        name = model.degradations[int(label)]
        with torch.inference_mode():
            gain = psnr(model(degraded, name), clean, rounded=True) - psnr(degraded, clean, rounded=True)
        found[name].append(float(gain))
    return {name: sum(values) / len(values) for name, values in found.items()}


def test_it_is_small():
    assert checkpoint_path().stat().st_size <= 10e6


def test_it_carries_all_that_restoring_needs():
    checkpoint = read_checkpoint("default")
    assert checkpoint.clip is None
    assert checkpoint.mean_priors is not None


@pytest.mark.parametrize(("name", "least"), [("noise", 3), ("rain", 2), ("haze", 2), ("snow", 2), ("low_light", 2)])
def test_it_improves(gains, name, least):
    assert gains[name] > least


def test_it_improves_jpeg_a_little(gains):
    assert gains["jpeg"] > 0
