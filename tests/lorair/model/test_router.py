"""The router's views against Pillow, its gates against a sort written out."""

import numpy as np
import pytest
import torch
from PIL import Image

from lorair.model.experts import gates_from_logits
from lorair.model.router import CLIP_MEAN, CLIP_STD, resize_bicubic, router_views


def pillow_resize(pixels, size):
    columns_first = Image.fromarray(pixels).resize((size, pixels.shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(columns_first.resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("height", "width"), [(96, 96), (511, 333), (60, 200), (1080, 720), (33, 1024)])
@pytest.mark.parametrize("size", [64, 336])
def test_resize_is_pillows(height, width, size):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    resized = resize_bicubic(torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), size)
    difference = np.abs(resized[0].permute(1, 2, 0).numpy() - pillow_resize(pixels, size).astype(float))
    # Pillow sums rounded integers: a value halfway between two levels may fall to the other side.
    assert difference.max() <= 1
    assert (difference > 0).mean() < 3e-3


def test_views_are_the_whole_and_its_quarters_row_by_row():
    pixels = np.random.default_rng(1).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    views = router_views(image, 16)[0]
    double = pillow_resize(pixels, 32)
    expected = [
        pillow_resize(pixels, 16),
        double[:16, :16],
        double[:16, 16:],
        double[16:, :16],
        double[16:, 16:],
    ]
    for view, levels in zip(views, expected, strict=True):
        normalised = (levels / 255 - np.array(CLIP_MEAN)) / np.array(CLIP_STD)
        assert np.abs(view.permute(1, 2, 0).numpy() - normalised).max() < 1.01 / 255 / min(CLIP_STD)


def test_pixels_are_truncated_to_8_bits_as_published():
    values = torch.tensor([0.0, 0.999 / 255, 1 / 255, 1.5 / 255, 254.99 / 255, 1.0])
    images = values.repeat_interleave(3).view(-1, 3, 1, 1).expand(-1, 3, 8, 8)
    levels = (
        router_views(images, 8)[:, 0] * torch.tensor(CLIP_STD)[:, None, None] + torch.tensor(CLIP_MEAN)[:, None, None]
    ) * 255
    assert levels[:, 0, 0, 0].round().tolist() == [0, 0, 1, 1, 254, 255]


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_gates_are_a_softmax_over_the_largest_logits(top_k):
    gate_logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    gates = gates_from_logits(gate_logits, top_k)
    for row, logits in zip(gates.tolist(), gate_logits.tolist(), strict=True):
        kept = sorted(range(4), key=lambda i: -logits[i])[:top_k]
        total = sum(np.exp(logits[i]) for i in kept)
        expected = [np.exp(logits[i]) / total if i in kept else 0.0 for i in range(4)]
        assert np.allclose(row, expected, atol=1e-6)
    if top_k == 1:
        assert gates.max(1).values.eq(1).all()


def test_routing_of_an_image_does_not_depend_on_its_batch(make_model):
    model = make_model(top_k=2)
    images = torch.rand(3, 3, 50, 40)
    with torch.no_grad():
        batch = model.route(images)
        alone = model.route(images[1:2])
    torch.testing.assert_close(batch.gate_logits[1:2], alone.gate_logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(batch.prior[1:2], alone.prior, rtol=0, atol=1e-6)
