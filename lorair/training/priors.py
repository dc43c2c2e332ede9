"""The mean prior of each degradation, measured from example images."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from lorair.data import Batch
from lorair.images import list_images, read_image
from lorair.model import LoRAIR
from lorair.training.validation import mean_priors


def priors_of_folders(model: LoRAIR, folder: Path) -> Tensor:
    """Mean prior [E, P] of each degradation, from the images of `folder/NAME` for every name the model knows."""

    def batches() -> Iterable[Batch]:
        for label, name in enumerate(model.degradations):
            for path in list_images(folder / name) if (folder / name).is_dir() else []:
                image = torch.from_numpy(read_image(path).float_pixels()).permute(2, 0, 1)[None]
                yield Batch(image, image, torch.tensor([label]))

    return mean_priors(model, batches())
