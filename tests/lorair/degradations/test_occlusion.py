import numpy as np
import pytest

from lorair.degradations import FloatImage
from lorair.degradations.occlusion import add_raindrops, cast_shadow, cut_holes


def test_raindrops_cover_no_more_than_asked_and_leave_the_rest(scene: FloatImage) -> None:
    large = np.kron(scene, np.ones((3, 3, 1), np.float32))
    for cover in (0.05, 0.2):
        wet = add_raindrops(large, np.random.default_rng(1), cover=cover, radius=12)
        touched = (wet != large).any(axis=2).mean()
        assert 0.3 * cover < touched < 1.6 * cover


def test_a_raindrop_shows_the_scene_upside_down() -> None:
    """On a vertical ramp a drop brightens upwards where the scene brightens downwards."""
    ramp = np.repeat(np.linspace(0.2, 0.8, 256, dtype=np.float32)[:, None, None], 256, axis=1).repeat(3, axis=2)
    wet = add_raindrops(ramp, np.random.default_rng(3), cover=0.02, radius=20).mean(axis=2)
    changed = np.abs(wet - ramp[..., 0]) > 0.02
    slopes = np.diff(wet, axis=0)[changed[1:] & changed[:-1]]
    assert np.median(slopes) < 0


def test_a_shadow_takes_its_share_of_the_light_and_shifts_to_blue(rng: np.random.Generator) -> None:
    lit = np.full((200, 200, 3), 0.8, np.float32)
    dark = cast_shadow(lit, rng, strength=0.6, penumbra=2)
    light = (dark.astype(np.float64) / 0.8) ** 2.2
    red, green, blue = light[np.unravel_index(light[..., 1].argmin(), light.shape[:2])]
    assert green == pytest.approx(0.4, abs=1e-3)
    assert red <= green <= blue and blue - green == pytest.approx(green - red, abs=1e-3)
    assert light.max() == pytest.approx(1, abs=1e-5) and (dark <= lit + 1e-6).all()


def test_a_penumbra_is_soft(rng: np.random.Generator) -> None:
    widths = []
    for penumbra in (1, 8):
        dark = cast_shadow(
            np.full((200, 200, 3), 1.0, np.float32), np.random.default_rng(5), strength=0.5, penumbra=penumbra
        )
        between = (dark[..., 1] < 0.99) & (dark[..., 1] > 1.01 * dark[..., 1].min())
        widths.append(between.mean())
    assert widths[1] > 3 * widths[0]


def test_holes_are_white_and_all_else_is_kept(scene: FloatImage, rng: np.random.Generator) -> None:
    holed = cut_holes(scene * np.float32(0.9), rng)
    white = (holed == 1).all(axis=2)
    assert np.array_equal(holed[~white], (scene * np.float32(0.9))[~white])


def test_holes_cover_what_the_published_masks_cover() -> None:
    """Mean 0.297 and deviation 0.122, between 0.035 and 0.499, over the hundred masks of DA-CLIP's benchmark."""
    shares = [
        (cut_holes(np.full((256, 256, 3), 0.0, np.float32), np.random.default_rng(seed)) == 1).mean()
        for seed in range(150)
    ]
    assert np.mean(shares) == pytest.approx(0.31, abs=0.04)
    assert np.std(shares) == pytest.approx(0.12, abs=0.03)
    assert min(shares) >= 0.035 and max(shares) < 0.6
