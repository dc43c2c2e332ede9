from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def photograph_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photographs, so to speak: smooth waves in three colours, 48x64."""
    folder = tmp_path_factory.mktemp("photographs")
    y, x = np.mgrid[0:48, 0:64]
    for index in range(2):
        shades = [128 + 100 * np.sin((x + 5 * index) / 9 + phase) * np.cos(y / 11) for phase in (0, 1, 2)]
        Image.fromarray(np.stack(shades, axis=2).astype(np.uint8)).save(folder / f"{index}.png")
    return folder
