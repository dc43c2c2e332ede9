import numpy as np
import pytest

from lorair.degradations import DEGRADATIONS, FloatImage, degrade, degrade_by, draw_mixture
from lorair.degradations.mixtures import STAGES

KNOWN = ("noise", "rain", "haze", "snow", "low_light", "jpeg", "blur")


@pytest.fixture
def scene() -> FloatImage:
    y, x = np.mgrid[0:64, 0:96]
    channels = [0.5 + 0.45 * np.sin(x / 17 + phase) * np.cos(y / 23) for phase in (0, 1, 2)]
    return np.stack(channels, axis=2).astype(np.float32)


def test_weather_comes_before_the_camera_whatever_the_order_given(scene: FloatImage) -> None:
    """The generator's draws in the order of the stages, written out by hand."""
    mixed = degrade_by(scene, ("jpeg", "noise", "rain"), np.random.default_rng(4))
    rng = np.random.default_rng(4)
    expected = degrade(DEGRADATIONS["noise"](DEGRADATIONS["rain"](scene, rng), rng), "jpeg", rng)
    assert np.array_equal(mixed, expected)


def test_nothing_is_the_image_in_8_bits(scene: FloatImage) -> None:
    assert np.abs(degrade_by(scene, (), np.random.default_rng(0)) - scene).max() <= 0.5 / 255 + 1e-6


def test_a_single_degradation_equals_degrade(scene: FloatImage) -> None:
    one = degrade_by(scene, ("haze",), np.random.default_rng(1))
    assert np.array_equal(one, degrade(scene, "haze", np.random.default_rng(1)))


def test_an_unknown_degradation_is_named(scene: FloatImage) -> None:
    with pytest.raises(ValueError, match=r"'fog'.*noise, rain, haze"):
        degrade_by(scene, ("fog", "rain"), np.random.default_rng(0))


@pytest.mark.parametrize("first", KNOWN)
def test_a_mixture_holds_its_first_and_one_or_two_others_of_other_stages(first: str) -> None:
    order = [kind for stage in STAGES for kind in stage]
    drawn = [draw_mixture(first, KNOWN, np.random.default_rng(seed)) for seed in range(60)]
    assert {len(kinds) for kinds in drawn} == {2, 3}
    for kinds in drawn:
        assert first in kinds and sorted(kinds, key=order.index) == list(kinds)
        assert sum(kind in ("rain", "snow") for kind in kinds) <= 1
    assert {kind for kinds in drawn for kind in kinds} >= set(KNOWN) - {"rain", "snow"}


def test_a_mixture_draws_from_the_known_only() -> None:
    assert {draw_mixture("noise", ("noise", "jpeg"), np.random.default_rng(seed)) for seed in range(9)} == {
        ("noise", "jpeg")
    }
