"""Shared by the degradations' tests: a generator and a scene."""

import numpy as np
import pytest

from lorair.degradations import FloatImage


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def scene() -> FloatImage:
    """A smooth 8-bit scene of every brightness, 96 x 144."""
    y, x = np.mgrid[0:96, 0:144]
    channels = [0.5 + 0.45 * np.sin(x / 17 + phase) * np.cos(y / 23) for phase in (0, 1, 2)]
    return (np.rint(np.stack(channels, axis=2) * 255) / 255).astype(np.float32)
