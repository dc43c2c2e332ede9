"""PSNR, against images whose error is known and against scikit-image."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from lorair.images import psnr


def test_a_known_error_is_a_known_ratio():
    clean = torch.full((2, 3, 4, 4), 128 / 255)
    restored = torch.stack([clean[0] + 10 / 255, clean[1] + 0.1 / 255])
    exact, rounded = psnr(restored, clean), psnr(restored, clean, rounded=True)
    assert exact.tolist() == pytest.approx([20 * math.log10(255 / 10), 20 * math.log10(255 / 0.1)], abs=1e-3)
    assert rounded[0].item() == pytest.approx(20 * math.log10(255 / 10), abs=1e-9)
    assert rounded[1].item() == math.inf, "a tenth of a level is rounded away"


@pytest.mark.parametrize("shape", [(2, 3, 9, 7), (2, 9, 7, 3), (2, 9, 7)])
def test_each_image_has_the_ratio_that_scikit_image_gives(shape):
    one, other = np.random.default_rng(0).random((2, *shape))
    expected = [peak_signal_noise_ratio(clean, image, data_range=1) for image, clean in zip(one, other, strict=True)]
    assert psnr(torch.from_numpy(one), torch.from_numpy(other)).tolist() == pytest.approx(expected, abs=1e-9)


def test_values_outside_the_range_are_clipped_where_files_would_clip_them():
    clean = torch.zeros(1, 3, 4, 4)
    assert psnr(clean - 1, clean, rounded=True).item() == math.inf and psnr(clean - 1, clean).item() == 0


def test_a_sample_that_is_not_finite_is_no_good_ratio():
    clean = torch.zeros(1, 3, 4, 4)
    assert not psnr(clean / 0, clean).item() > -math.inf and psnr(clean + math.inf, clean).item() == -math.inf


def test_two_shapes_are_an_error():
    with pytest.raises(ValueError, match="same shape"):
        psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
