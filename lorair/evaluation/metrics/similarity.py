"""Structural similarity (Wang et al., 2004, equation 13) under the windows that restoration papers use."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float64Image = NDArray[np.float64]

K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Window:
    """A square window: Gaussian of standard deviation `sigma`, or uniform where that is None.

    Under a uniform window of n pixels variances are divided by n - 1, as scikit-image does; under a Gaussian one
    they are plain weighted means, as in the original Matlab code.
    """

    size: int
    sigma: float | None = None

    @property
    def weights(self) -> Float64Image:
        """The window along one axis, float64 [size, 1], of sum 1."""
        if self.sigma is None:
            return np.full((self.size, 1), 1 / self.size)
        return cv2.getGaussianKernel(self.size, self.sigma, cv2.CV_64F).astype(np.float64)

    @property
    def unbiased(self) -> float:
        """Factor by which a variance under the window is corrected."""
        return 1.0 if self.sigma is not None else self.size**2 / (self.size**2 - 1)


def ssim(restored: Float64Image, clean: Float64Image, window: Window, padded: bool = False) -> float:
    """Mean structural similarity with a data range of 1, the mean of the channels'.

    Args:
        restored: float64 [H, W] or [H, W, 3].
        clean: the same shape.
        window: at most as large as the image, unless `padded`.
        padded: whether windows reach over the border, which is replicated; otherwise all lie inside.

    Raises:
        ValueError: the image is smaller than the window.
    """
    if not padded and min(clean.shape[:2]) < window.size:
        raise ValueError(
            f"SSIM under a window of {window.size} pixels needs images at least as large; "
            f"got {clean.shape[0]} x {clean.shape[1]}"
        )
    weights, margin = window.weights, 0 if padded else window.size // 2

    def local_mean(image: Float64Image) -> Float64Image:
        mean = cv2.sepFilter2D(image, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_REPLICATE)
        return mean[margin : mean.shape[0] - margin, margin : mean.shape[1] - margin].astype(np.float64, copy=False)

    x, y = local_mean(restored), local_mean(clean)
    variances = window.unbiased * (local_mean(restored**2) - x**2 + local_mean(clean**2) - y**2)
    covariance = window.unbiased * (local_mean(restored * clean) - x * y)
    luminance = (2 * x * y + K1**2) / (x**2 + y**2 + K1**2)
    return float(np.mean(luminance * (2 * covariance + K2**2) / (variances + K2**2)))
