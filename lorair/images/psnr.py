"""Peak signal-to-noise ratio: the only implementation, to which protocols pass prepared images."""

from torch import Tensor


def psnr(restored: Tensor, clean: Tensor, rounded: bool = False) -> Tensor:
    """PSNR in dB of each image over all its samples, -10 log10(mean squared error), for a data range of 1.

    Args:
        restored: floating `[B, ...]`, samples in [0, 1].
        clean: of the same shape.
        rounded: clip both to [0, 1] and round them to 8 bits first, as files would be.

    Returns:
        float64 `[B]`; infinity where the images are equal, NaN or minus infinity where a sample is not finite.

    Raises:
        ValueError: the shapes differ.
    """
    if restored.shape != clean.shape:
        raise ValueError(f"psnr needs images of the same shape; got {tuple(restored.shape)} and {tuple(clean.shape)}")
    one, other = (_rounded(image) if rounded else image.double() for image in (restored, clean))
    return -10 * (one - other).square().flatten(1).mean(dim=1).log10()


def _rounded(images: Tensor) -> Tensor:
    return (images.double().clamp(0, 1) * 255).round() / 255
