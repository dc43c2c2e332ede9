"""LPIPS, the learned distance of image patches (Zhang et al., 2018), version 0.1 with AlexNet; lower is closer."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lorair.errors import CheckpointError

BACKBONE: Final = "alexnet-owt-7be5be79.pth"
HEADS: Final = "alex.pth"
SMALLEST: Final = 31

_MEAN: Final = (-0.030, -0.088, -0.188)
_STD: Final = (0.458, 0.448, 0.450)
# The activations that are compared follow these layers of torchvision's `features`: the five ReLUs.
_TAPS: Final = (1, 4, 7, 9, 11)


class Lpips:
    """The distance of two images, with weights that the user provides; nothing is downloaded."""

    def __init__(self, features: nn.Sequential, heads: list[Tensor]) -> None:
        """`features` are AlexNet's; `heads` five weights [1, C, 1, 1], one per compared activation."""
        self.features = features.eval()
        self.heads = heads

    @classmethod
    def open(cls, folder: Path) -> "Lpips":
        """Load torchvision's ImageNet weights of AlexNet and LPIPS's own heads, under their published file names.

        Raises:
            CheckpointError: a file is missing, or does not hold these weights.
        """
        from torchvision.models import alexnet

        with torch.device("meta"):  # no memory: the classifier is never used, the rest is what the file holds
            features = alexnet(weights=None).features
        heads, backbone = _read(folder / HEADS), _read(folder / BACKBONE)
        try:
            own = {name: weight for name, weight in backbone.items() if name.startswith("features.")}
            features.load_state_dict({name.removeprefix("features."): w for name, w in own.items()}, assign=True)
            return cls(features, [heads[f"lin{index}.model.1.weight"] for index in range(len(_TAPS))])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"{folder}: not the weights of LPIPS 0.1 with AlexNet: {error}") from error

    @torch.inference_mode()
    def measure(self, restored: NDArray[np.floating[Any]], clean: NDArray[np.floating[Any]]) -> float:
        """The distance of RGB images [H, W, 3], floating in [0, 1], as they are: neither cropped nor rounded."""
        if min(clean.shape[:2]) < SMALLEST:
            raise ValueError(f"LPIPS needs {SMALLEST} pixels a side; got {clean.shape[0]} x {clean.shape[1]}")
        distance = 0.0
        activations = (self._activations(image) for image in (restored, clean))
        for head, x, y in zip(self.heads, *activations, strict=True):
            distance += float(F.conv2d((_unit_length(x) - _unit_length(y)).square(), head).mean())
        return distance

    def _activations(self, image: NDArray[np.floating[Any]]) -> list[Tensor]:
        x = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None] * 2 - 1
        x = (x - x.new_tensor(_MEAN)[:, None, None]) / x.new_tensor(_STD)[:, None, None]
        taken = []
        for index, layer in enumerate(self.features[: _TAPS[-1] + 1]):
            # torchvision's ReLUs work in place, on what the layer before them has made.
            x = layer(x)
            if index in _TAPS:
                taken.append(x)
        return taken


def _unit_length(activations: Tensor) -> Tensor:
    return activations / (activations.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; LPIPS needs {BACKBONE} and {HEADS} in one folder") from error
    except Exception as error:
        raise CheckpointError(f"{path}: not a file of torch weights: {error}") from error
