"""PSNR of a batch of tensors, for training and its validation."""

from torch import Tensor


def psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image over its RGB samples, with a data range of 1.

    Both are float [B, 3, H, W]; they are clipped to [0, 1] and rounded to 8 bits first, as files would be.
    Returns [B]; equal images give infinity. Raises ValueError where the shapes differ.
    """
    if restored.shape != clean.shape:
        raise ValueError(f"psnr compares images of one shape; got {tuple(restored.shape)} and {tuple(clean.shape)}")
    difference = _rounded(restored) - _rounded(clean)
    return -10 * difference.square().mean(dim=(1, 2, 3)).log10()


def _rounded(images: Tensor) -> Tensor:
    return (images.double().clamp(0, 1) * 255).round() / 255
