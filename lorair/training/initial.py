"""The weights that a tower starts from where it has no pre-trained ones."""

import torch
from torch import nn


def weight_by_frequency(patches: nn.Conv2d) -> None:
    """Multiply the spectrum of random patch filters, in place, by the square of the spatial frequency.

    A photograph's amplitudes fall with the frequency, so that equal filters see its coarse content alone; what
    tells degradations apart (grain, streaks, block edges) is fine. Frequencies are in cycles per patch; below
    one cycle the spectrum stays.
    """
    weight = patches.weight
    height, width = weight.shape[-2:]
    y, x = torch.fft.fftfreq(height) * height, torch.fft.rfftfreq(width) * width
    gain = (y[:, None] ** 2 + x[None, :] ** 2).clamp(min=1)
    with torch.no_grad():
        weight.copy_(torch.fft.irfft2(torch.fft.rfft2(weight) * gain, s=(height, width)))
