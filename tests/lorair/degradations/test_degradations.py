import io
import math
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from lorair.degradations import DEGRADATIONS, FloatImage, degrade, severities
from lorair.degradations.blur import blur, camera_path, path_kernel
from lorair.degradations.camera import add_noise, compress_jpeg, darken
from lorair.degradations.fields import disc_kernel, smooth_field
from lorair.degradations.haze import add_haze, ridge_distance, smooth_distance
from lorair.degradations.rain import add_rain
from lorair.degradations.snow import add_snow


def grey(level: float, height: int = 128, width: int = 160) -> FloatImage:
    return np.full((height, width, 3), level, np.float32)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_degraded_image_is_what_an_8_bit_file_holds(kind: str, scene: FloatImage, rng: np.random.Generator) -> None:
    before = scene.copy()
    degraded = degrade(scene, kind, rng)
    assert degraded.shape == scene.shape and degraded.dtype == np.float32
    levels = degraded.astype(np.float64) * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-4 and levels.min() >= 0 and levels.max() <= 255
    assert np.array_equal(scene, before)
    assert np.square(degraded - scene).mean() > 1e-6


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_only_the_generator_decides(kind: str, scene: FloatImage) -> None:
    first, again, other = (degrade(scene, kind, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_unknown_degradation_is_named(scene: FloatImage, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"'fog'.*noise, rain, haze"):
        degrade(scene, "fog", rng)


def test_noise_has_the_sigma_asked_for(rng: np.random.Generator) -> None:
    noise = 255 * (add_noise(grey(0.5), rng, sigma=25) - 0.5)
    samples = noise.size
    assert noise.mean() == pytest.approx(0, abs=4 * 25 / math.sqrt(samples))
    assert noise.std() == pytest.approx(25, rel=4 / math.sqrt(2 * samples))
    between_channels = np.asarray(np.corrcoef(noise.reshape(-1, 3).T))[np.triu_indices(3, 1)]
    assert np.abs(between_channels).max() < 4 / math.sqrt(samples / 3)


def draws(recipe: Callable[..., FloatImage], level: float, count: int, **severity: float) -> list[FloatImage]:
    return [recipe(grey(level, 96, 96), rng, **severity) for rng in np.random.default_rng(0).spawn(count)]


def test_noise_is_drawn_from_light_to_heavy() -> None:
    """Log-uniform in 2..60: a median of 11, a quarter below 4.7 and a quarter above 26, whatever its kind."""
    drawn = np.sort([255 * noisy.std() for noisy in draws(add_noise, 0.5, 160)])
    assert 1.8 < drawn[0] < 2.5 and 48 < drawn[-1] < 66
    assert drawn[[40, 80, 120]] == pytest.approx([4.7, 11, 26], rel=0.25)


def test_drawn_noise_is_of_several_kinds() -> None:
    """Grain larger than a pixel, grain shared by the channels, and grain that brightness changes."""
    ramp = np.linspace(0.25, 0.85, 160, dtype=np.float32)[None, :, None].repeat(160, axis=0).repeat(3, axis=2)
    neighbours, channels, growth = [], [], []
    for seed in range(60):
        noise = (add_noise(ramp, np.random.default_rng(seed)) - ramp).astype(np.float64)
        neighbours.append(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])
        channels.append(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1])
        growth.append(noise[:, :40].std() / noise[:, 120:].std())
    assert np.mean(np.array(neighbours) > 0.1) == pytest.approx(0.25, abs=0.15)
    assert np.mean(np.array(channels) > 0.3) == pytest.approx(0.15, abs=0.12)
    assert np.mean(np.array(growth) > 1.1) == pytest.approx(0.2, abs=0.14)


def test_photon_noise_has_the_variance_of_a_poisson_count_in_linear_light() -> None:
    """Through the tone curve of gamma 2.2, with a tenth of the variance at a half from reading the sensor."""
    from lorair.degradations.camera import _add_photon_noise  # pyright: ignore[reportPrivateUsage]

    rng = np.random.default_rng(0)
    for level in (0.3, 0.5, 0.7):
        noise = _add_photon_noise(grey(level, 256, 256), rng, 5).astype(np.float64) - level
        variance_of_light = (level**2.2 + 0.1 * 0.5**2.2) / (1.1 * 0.5**2.2)
        expected = 5 * math.sqrt(variance_of_light) * 0.5**1.2 / level**1.2
        assert 255 * noise.std() == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("sigma", [0.4, 1.2, 4])
def test_a_smooth_field_has_unit_variance(sigma: float, rng: np.random.Generator) -> None:
    assert smooth_field(rng, (400, 400), sigma).std() == pytest.approx(1, rel=0.05)


def test_noise_is_clipped_to_the_range(rng: np.random.Generator) -> None:
    noisy = add_noise(grey(0.98), rng, sigma=50)
    assert noisy.max() == 1 and noisy.min() >= 0


def test_rain_only_brightens_and_heavy_rain_covers_more(rng: np.random.Generator) -> None:
    dry = grey(0.2)
    light, heavy = (add_rain(dry, rng, layers=layers) for layers in (1, 4))
    covered = [float((wet - dry > 0.02).mean()) for wet in (light, heavy)]
    assert light.min() >= np.float32(0.2) and heavy.max() <= 1
    assert 0.005 < covered[0] < 0.2 and 2 * covered[0] < covered[1] < 0.8


def test_rain_is_the_same_grey_in_all_channels(scene: FloatImage, rng: np.random.Generator) -> None:
    added = add_rain(scene * np.float32(0.1), rng, layers=1) - scene * np.float32(0.1)
    assert np.abs(added - added.mean(axis=2, keepdims=True)).max() < 1e-6


def test_rain_streaks_run_along_the_vertical(rng: np.random.Generator) -> None:
    streaks = np.mean([add_rain(grey(0.0), rng, layers=1).mean(axis=2) for _ in range(6)], axis=0)
    down, across = (np.square(np.diff(streaks, axis=axis)).mean() for axis in (0, 1))
    assert down < across


def test_haze_follows_the_scattering_model(scene: FloatImage) -> None:
    """Black and white scenes under one seed give A and t; a third scene must agree with them."""

    def hazy(image: FloatImage) -> FloatImage:
        return add_haze(image, np.random.default_rng(5), beta=1.5, airlight=0.9)

    black, white = hazy(np.zeros_like(scene)), hazy(np.ones_like(scene))
    transmission = white - black
    assert transmission.min() >= math.exp(-1.5) - 1e-6 and transmission.max() <= math.exp(-1.5 * 0.25) + 1e-6
    assert np.ptp(transmission) > 0.05
    np.testing.assert_allclose(black, 0.9 * (1 - transmission), atol=1e-6)
    np.testing.assert_allclose(hazy(scene), scene * transmission + 0.9 * (1 - transmission), atol=1e-6)


def test_haze_of_a_given_thickness_is_smooth(rng: np.random.Generator) -> None:
    hazy = add_haze(grey(0.0), rng, beta=2)
    assert max(np.abs(np.diff(hazy, axis=axis)).max() for axis in (0, 1)) < 0.05


def test_haze_is_drawn_from_thin_to_thick_and_tinted() -> None:
    """Over black A (1 - t) remains, over white less A t is missing; their ratio is A, whatever the distance."""
    air, mean_transmission = [], []
    for seed in range(60):
        black, white = (add_haze(grey(level, 48, 64), np.random.default_rng(seed)) for level in (0.0, 1.0))
        transmission = white - black
        air.append((black / (1 - transmission + 1e-9)).mean(axis=(0, 1)))
        mean_transmission.append(transmission.mean())
    assert min(mean_transmission) < 0.35 and max(mean_transmission) > 0.85
    assert np.min(air) < 0.6 and np.max(air) > 0.9
    tinted = np.ptp(air, axis=1) > 0.01
    assert 0.4 < tinted.mean() < 0.9 and np.ptp(air, axis=1).max() <= 0.12 + 1e-3


def test_distances_stay_within_what_haze_assumes(rng: np.random.Generator) -> None:
    for distance in (smooth_distance(rng, 60, 90), ridge_distance(rng, 60, 90)):
        assert distance.shape == (60, 90) and distance.min() >= 0.25 - 1e-6 and distance.max() <= 1 + 1e-6


def test_ridges_hide_what_is_behind_them(rng: np.random.Generator) -> None:
    """Nowhere does the distance grow downwards, and somewhere it falls at once."""
    steps = np.diff(ridge_distance(rng, 200, 120), axis=0)
    assert steps.max() < 1e-5 and steps.min() < -0.02


@pytest.mark.parametrize("recipe", [add_rain, add_snow])
def test_precipitation_is_drawn_from_barely_visible_to_heavy(recipe: Callable[..., FloatImage]) -> None:
    psnr = [-10 * math.log10(np.square(wet - 0.3).mean() + 1e-10) for wet in draws(recipe, 0.3, 80)]
    low, median, high = np.percentile(psnr, [10, 50, 90])
    assert low < 22 and 24 < median < 38 and high > 37


def test_rain_brightens_by_every_renderer() -> None:
    for wet in draws(add_rain, 0.2, 40):
        assert wet.min() >= 0.2 - 1e-6


def test_snow_composites_white(scene: FloatImage) -> None:
    """J (1 - m) + m is affine in J, so a black scene gives m for every other one."""
    mask = add_snow(np.zeros_like(scene), np.random.default_rng(7), threshold=2)
    snowy = add_snow(scene, np.random.default_rng(7), threshold=2)
    np.testing.assert_allclose(snowy, scene * (1 - mask) + mask, atol=1e-6)


def test_a_higher_threshold_gives_less_snow() -> None:
    cover = [add_snow(grey(0.0), np.random.default_rng(1), threshold=threshold).mean() for threshold in (1.9, 2.4)]
    assert 0.005 < cover[1] < cover[0] < 0.25


def test_low_light_raises_a_grey_level_to_gamma(rng: np.random.Generator) -> None:
    dark = darken(grey(0.6), rng, gamma=2.5, sigma=2.5)
    assert dark.mean() == pytest.approx(0.6**2.5, abs=1e-3)
    assert 255 * dark.std() == pytest.approx(2.5, rel=0.02)


def test_low_light_keeps_hues(rng: np.random.Generator) -> None:
    colour = grey(1.0) * np.array([0.8, 0.4, 0.2], np.float32)
    dark = darken(colour, rng, gamma=2, sigma=0).mean(axis=(0, 1))
    np.testing.assert_allclose(dark / dark.max(), [1, 0.5, 0.25], atol=1e-5)


def test_an_exposure_scales_linear_light(rng: np.random.Generator) -> None:
    dark = darken(grey(0.6), rng, exposure=0.25, sigma=0)
    np.testing.assert_allclose(dark, 0.6 * 0.25 ** (1 / 2.2), atol=1e-6)


def test_darkness_is_no_sign_of_noise() -> None:
    """A third of the dark images have none, the others a sigma from 0 to 12, which light noise overlaps."""
    noise = np.array([255 * dark.std() for dark in draws(darken, 0.9, 120)])
    assert np.mean(noise < 0.01) == pytest.approx(1 / 3, abs=0.12)
    assert 9 < noise.max() < 12.5 and np.mean((noise > 0.01) & (noise < 4)) > 0.1


def test_low_light_is_drawn_from_dim_to_black() -> None:
    levels = [dark.mean() for dark in draws(darken, 0.6, 80)]
    assert min(levels) < 0.15 and max(levels) > 0.45


def test_jpeg_equals_a_file_written_and_read_by_pillow(scene: FloatImage, rng: np.random.Generator) -> None:
    file = io.BytesIO()
    Image.fromarray(np.rint(scene * 255).astype(np.uint8)).save(file, "JPEG", quality=17)
    expected = np.asarray(Image.open(file))
    assert np.array_equal(np.rint(compress_jpeg(scene, rng, quality=17) * 255).astype(np.uint8), expected)


def test_jpeg_of_lower_quality_is_further_from_the_scene(scene: FloatImage, rng: np.random.Generator) -> None:
    noisy = add_noise(scene, rng, sigma=15)
    errors = [np.square(compress_jpeg(noisy, rng, quality=quality) - noisy).mean() for quality in (10, 20, 40, 95)]
    assert errors == sorted(errors, reverse=True)


def test_drawn_jpegs_are_of_every_quality_and_either_chroma(scene: FloatImage) -> None:
    """Chroma that is kept at full size shows where red changes from column to column at equal brightness."""
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2], stripes[:, 1::2] = (0.8, 0.3, 0.3), (0.3, 0.545, 0.3)
    contrast = [
        np.abs(np.diff(compress_jpeg(stripes, np.random.default_rng(s))[..., 0], axis=1)).mean() for s in range(60)
    ]
    assert 0.1 < np.mean(np.array(contrast) > 0.25) < 0.45
    noisy = add_noise(scene, np.random.default_rng(0), sigma=15)
    rng = np.random.default_rng(0)
    errors = [np.abs(compress_jpeg(noisy, np.random.default_rng(s)) - noisy).mean() for s in range(60)]
    known = {q: np.abs(compress_jpeg(noisy, rng, quality=q) - noisy).mean() for q in (12, 20, 60, 80)}
    assert min(errors) < known[80] < known[60] < np.median(errors) < known[20] < known[12] < max(errors)


@pytest.mark.parametrize(("severity", "spread"), [({"radius": 5.0}, 5 / 2), ({"sigma": 2.5}, 2.5)])
def test_defocus_spreads_a_point_of_light(severity: dict[str, float], spread: float) -> None:
    """By the standard deviation of a disc, radius / 2, or of a Gaussian, along each axis, of linear light."""
    point = np.zeros((65, 65, 3), np.float32)
    point[32, 32] = 1
    light = blur(point, np.random.default_rng(0), **severity)[..., 1].astype(np.float64) ** 2.2
    assert light.sum() == pytest.approx(1, abs=1e-3)
    offsets = np.arange(65) - 32
    for axis in (0, 1):
        assert math.sqrt(light.sum(axis=axis) @ offsets**2) == pytest.approx(spread, rel=0.06)


def test_a_disc_has_the_area_of_a_circle() -> None:
    assert disc_kernel(6.3).sum() == pytest.approx(math.pi * 6.3**2, rel=0.01)


def test_drawn_blur_is_of_every_kind_and_strength() -> None:
    """A point spreads evenly in all directions half of the time, and along a path otherwise."""
    point = np.zeros((97, 97, 3), np.float32)
    point[48, 48] = 1
    offsets, spreads, round_ones = np.arange(97) - 48, [], 0
    for seed in range(60):
        light = blur(point, np.random.default_rng(seed))[..., 0].astype(np.float64) ** 2.2
        light /= light.sum()
        covariance = np.array(
            [
                [light.sum(axis=0) @ offsets**2, offsets @ light @ offsets],
                [offsets @ light @ offsets, light.sum(axis=1) @ offsets**2],
            ]
        )
        narrow, wide = np.linalg.eigvalsh(covariance)
        spreads.append(math.sqrt(wide))
        round_ones += narrow > 0.95 * wide
    assert round_ones / 60 == pytest.approx(0.5, abs=0.17)
    assert min(spreads) < 0.8 and max(spreads) > 4


def test_a_parameter_that_is_not_there_is_named(scene: FloatImage, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="noise has no parameter radius; it has sigma"):
        degrade(scene, "noise", rng, radius=3)


def test_motion_blur_averages_linear_light(scene: FloatImage) -> None:
    """The mean light of a scene without borders does not change, and a grey image not at all."""
    tiled = np.tile(scene[:64, :107], (1, 1, 1))
    blurred = blur(tiled, np.random.default_rng(2), length=9)
    inside = np.s_[16:-16, 16:-16]
    kernel = path_kernel(camera_path(np.random.default_rng(2), 9))
    radius = kernel.shape[0] // 2
    expected = np.zeros_like(tiled[inside], np.float64)
    for (i, j), weight in np.ndenumerate(kernel):
        moved = np.roll(tiled.astype(np.float64) ** 2.2, (radius - i, radius - j), axis=(0, 1))
        expected += weight * moved[inside]
    np.testing.assert_allclose(blurred[inside], expected ** (1 / 2.2), atol=1e-5)
    np.testing.assert_allclose(blur(grey(0.4), np.random.default_rng(2)), 0.4, atol=1e-5)


@pytest.mark.parametrize("length", [8, 20.5])
def test_a_camera_path_has_its_length_and_no_mean_shift(length: float, rng: np.random.Generator) -> None:
    path = camera_path(rng, length).astype(np.float64)
    steps = np.hypot(*np.diff(path, axis=0).T)
    assert steps.sum() == pytest.approx(length * (len(path) - 1) / len(path), rel=1e-4)
    kernel = path_kernel(path.astype(np.float32)).astype(np.float64)
    offsets = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert [kernel.sum(axis=axis) @ offsets for axis in (0, 1)] == pytest.approx([0, 0], abs=1e-3)


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_every_severity_can_be_fixed(kind: str) -> None:
    assert severities(kind)
