"""PSNR and SSIM as published tables compute them: one name fixes colour, rounding, cropping and window together.

Figures of two protocols cannot be compared: on the same images they differ by several dB and by the second decimal
of SSIM. `docs/evaluation.md` lists the papers that use each.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lorair.evaluation.metrics.similarity import Float64Image, Window, ssim
from lorair.images import psnr

GAUSSIAN_11: Final = Window(11, sigma=1.5)
# BT.601 studio swing: Y of [0, 1] RGB lies in [16, 235] / 255.
_LUMA: Final = np.array([65.481, 128.553, 24.966]) / 255
_POOLED_SIDE: Final = 256

Image = NDArray[np.uint8 | np.uint16 | np.floating[Any]]
Sample = TypeVar("Sample", bound=np.generic)


class Scores(NamedTuple):
    """PSNR in dB, infinite for equal images, and SSIM, at most 1."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """The steps from two images to PSNR and SSIM; data range 1, float64 throughout.

    The steps follow the order of the fields.

    Attributes:
        name: its key in `PROTOCOLS`.
        summary: one line for display.
        multiple: images are cropped at their centre to a multiple of this, before they are restored.
        round_psnr: whether images are rounded to 8 bits, as in files, before PSNR.
        round_ssim: the same before SSIM.
        channels: "rgb": MSE over all samples, SSIM per channel and averaged; "y": BT.601 luma; "y_swapped": luma
            whose weights of red and blue are exchanged.
        round_luma: whether luma is rounded to 8 bits too.
        border: pixels cut from each side.
        pooled: whether images are downscaled by averaging, by round(shorter side / 256), before SSIM.
        window: SSIM's window.
        padded: whether SSIM's windows reach over the replicated border.
    """

    name: str
    summary: str
    multiple: int = 1
    round_psnr: bool = True
    round_ssim: bool = True
    channels: Literal["rgb", "y", "y_swapped"] = "rgb"
    round_luma: bool = False
    border: int = 0
    pooled: bool = False
    window: Window = GAUSSIAN_11
    padded: bool = False

    def crop(self, image: NDArray[Sample]) -> NDArray[Sample]:
        """The centre [H', W', C] of an image [H, W, C] that is restored and measured.

        Raises:
            ValueError: the crop is empty.
        """
        if min(image.shape[:2]) < self.multiple:
            raise ValueError(f"{self.name} needs images of {self.multiple} pixels a side; got {image.shape}")
        rows, columns = (
            slice((size % self.multiple) // 2, (size % self.multiple) // 2 + size - size % self.multiple)
            for size in image.shape[:2]
        )
        return image[rows, columns]

    def measure(self, restored: Image, clean: Image) -> Scores:
        """Compare RGB images [H, W, 3]: uint8, uint16, or floating in [0, 1] and clipped to that.

        Raises:
            ValueError: the shapes differ or are not those of RGB images, a value is not finite, or nothing is left
                after cropping.
        """
        if restored.shape != clean.shape or clean.ndim != 3 or clean.shape[2] != 3:
            raise ValueError(f"images must be RGB [H, W, 3] of the same size; got {restored.shape}, {clean.shape}")
        images = [self.crop(unit_range(image)) for image in (restored, clean)]
        if min(images[0].shape[:2]) <= 2 * self.border:
            raise ValueError(f"{self.name} crops an image of {clean.shape[0]} x {clean.shape[1]} pixels to nothing")
        x, y = (self._samples(image, self.round_psnr) for image in images)
        decibels = float(psnr(torch.from_numpy(x)[None], torch.from_numpy(y)[None]))
        x, y = (self._samples(image, self.round_ssim) for image in images)
        if self.pooled:
            x, y = _average_pooled(x), _average_pooled(y)
        return Scores(decibels, ssim(x, y, self.window, self.padded))

    def _samples(self, image: Float64Image, rounded: bool) -> Float64Image:
        if rounded:
            image = np.rint(image * 255) / 255
        if self.channels != "rgb":
            image = image @ (_LUMA if self.channels == "y" else _LUMA[::-1]) + 16 / 255
        if self.round_luma:
            image = np.rint(image * 255) / 255
        return image[self.border : image.shape[0] - self.border, self.border : image.shape[1] - self.border]


PROTOCOLS: Final = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol("basicsr-rgb", "8-bit RGB, SSIM Gaussian 11"),
            Protocol("basicsr-y", "8-bit RGB to unrounded Y, SSIM Gaussian 11", channels="y"),
            Protocol("nafnet-y", "as basicsr-y, SSIM over the replicated border too", channels="y", padded=True),
            Protocol("matlab-y", "Y rounded to 8 bits, SSIM Gaussian 11", channels="y", round_luma=True),
            Protocol(
                "histoformer-y-swapped",
                "8-bit RGB to unrounded Y with red and blue exchanged, SSIM uniform 11",
                channels="y_swapped",
                window=Window(11),
            ),
            Protocol("histoformer-y", "8-bit RGB to unrounded Y, SSIM uniform 11", channels="y", window=Window(11)),
            Protocol(
                "rgb-float-crop16",
                "unrounded RGB cropped to a multiple of 16, SSIM uniform 7",
                multiple=16,
                round_psnr=False,
                round_ssim=False,
                window=Window(7),
            ),
            Protocol("rgb-border4", "8-bit RGB without 4 border pixels, SSIM Gaussian 11", border=4),
            Protocol("wgws-rgb", "PSNR of unrounded, SSIM of 8-bit RGB, Gaussian 11", round_psnr=False),
            Protocol(
                "weatherstream",
                "unrounded RGB, SSIM Gaussian 11 of images averaged down to about 256 pixels",
                round_psnr=False,
                round_ssim=False,
                pooled=True,
            ),
        )
    }
)


def protocol_named(name: str) -> Protocol:
    """The protocol of a name; ValueError where there is none."""
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def unit_range(image: Image) -> Float64Image:
    """An image as float64 in [0, 1]; ValueError where a value is not finite."""
    samples = image.astype(np.float64)
    if np.issubdtype(image.dtype, np.integer):
        return samples / np.iinfo(image.dtype.name).max
    if not np.isfinite(samples).all():
        raise ValueError("an image holds values that are not finite; use a model of higher precision")
    return np.clip(samples, 0, 1)


def _average_pooled(image: Float64Image) -> Float64Image:
    height, width = image.shape[:2]
    factor = max(1, round(min(height, width) / _POOLED_SIDE))
    channels_first = torch.from_numpy(image).permute(2, 0, 1)
    pooled = F.adaptive_avg_pool2d(channels_first, (int(height / factor), int(width / factor)))
    return np.ascontiguousarray(pooled.permute(1, 2, 0).numpy())
