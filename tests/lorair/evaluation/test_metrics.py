"""Every protocol against scikit-image and NumPy in float64, its steps written out once more."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchvision.models import alexnet

from lorair.errors import CheckpointError
from lorair.evaluation.metrics import PROTOCOLS, protocol_named
from lorair.evaluation.metrics.lpips import BACKBONE, HEADS, Lpips
from lorair.images import psnr
from lorair.photographs import examples

SIZES = ((97, 131), (400, 521))


def images(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph, uint8, and a stand-in for its restoration, float32: brighter in red, noisier towards the right."""
    with Image.open(examples()[3]) as photograph:
        clean = np.asarray(photograph.convert("RGB").crop((60, 40, 60 + width, 40 + height)))
    noise = np.random.default_rng(0).normal(0, 0.08, clean.shape) * np.linspace(0.2, 1, width)[:, None]
    restored = np.clip(clean / 255 + noise + [0.05, 0, -0.02], 0, 1)
    return restored.astype(np.float32), clean


def gaussian_ssim(x, y):
    """Gaussian windows of 11 pixels inside the image."""
    channel = -1 if x.ndim == 3 else None
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return structural_similarity(x, y, channel_axis=channel, **options)


def gaussian_ssim_over_the_border(x, y):
    """As `gaussian_ssim`, one window around every pixel of the image, whose border pixels are repeated."""
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights) / weights.sum() ** 2

    def mean(image):
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(image, 5, mode="edge"), (11, 11))
        return np.einsum("ijkl,kl->ij", windows, weights)

    mu_x, mu_y = mean(x), mean(y)
    variance_x, variance_y, covariance = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    upper = (2 * mu_x * mu_y + c1) * (2 * covariance + c2)
    return np.mean(upper / ((mu_x**2 + mu_y**2 + c1) * (variance_x + variance_y + c2)))


def uniform_ssim(side):
    def ssim(x, y):
        return structural_similarity(x, y, win_size=side, data_range=255, channel_axis=-1 if x.ndim == 3 else None)

    return ssim


def averaged_down(image):
    """Mean over bins that cover the image evenly, a bin's edges rounded outwards."""
    factor = max(1, round(min(image.shape[:2]) / 256))
    sizes = [int(size / factor) for size in image.shape[:2]]
    rows, columns = (
        [slice(i * size // n, -(-(i + 1) * size // n)) for i in range(n)]
        for size, n in zip(image.shape[:2], sizes, strict=True)
    )
    return np.array([[image[row, column].mean((0, 1)) for column in columns] for row in rows])


def rounded(image):
    return np.floor(image + 0.5)


def luma(image):
    return rgb2ycbcr(image / 255)[..., 0]


def swapped_luma(image):
    return luma(image[..., ::-1])


def centre(image):
    """97 x 131 -> 96 x 128 and 400 x 521 -> 400 x 512, as PromptIR's loader cuts them."""
    (top, bottom), (left, right) = ((n % 16 // 2, n - n % 16 + n % 16 // 2) for n in image.shape[:2])
    return image[top:bottom, left:right]


def cut(image):
    return image[4:-4, 4:-4]


def same(image):
    return image


# Protocol -> what PSNR is of, what SSIM is of, and SSIM itself; images on the 0-255 scale.
ORACLES = {
    "basicsr-rgb": (rounded, rounded, gaussian_ssim),
    "basicsr-y": (lambda x: luma(rounded(x)), lambda x: luma(rounded(x)), gaussian_ssim),
    "nafnet-y": (lambda x: luma(rounded(x)), lambda x: luma(rounded(x)), gaussian_ssim_over_the_border),
    "matlab-y": (lambda x: rounded(luma(rounded(x))), lambda x: rounded(luma(rounded(x))), gaussian_ssim),
    "histoformer-y-swapped": (
        lambda x: swapped_luma(rounded(x)),
        lambda x: swapped_luma(rounded(x)),
        uniform_ssim(11),
    ),
    "histoformer-y": (lambda x: luma(rounded(x)), lambda x: luma(rounded(x)), uniform_ssim(11)),
    "rgb-float-crop16": (centre, centre, uniform_ssim(7)),
    "rgb-border4": (lambda x: cut(rounded(x)), lambda x: cut(rounded(x)), gaussian_ssim),
    "wgws-rgb": (same, rounded, gaussian_ssim),
    "weatherstream": (same, averaged_down, gaussian_ssim),
}


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol(name, height, width):
    restored, clean = images(height, width)
    for_psnr, for_ssim, ssim = ORACLES[name]
    x, y = restored.astype(np.float64) * 255, clean.astype(np.float64)
    found = PROTOCOLS[name].measure(restored, clean)
    assert found.psnr == pytest.approx(peak_signal_noise_ratio(for_psnr(y), for_psnr(x), data_range=255), abs=1e-4)
    assert found.ssim == pytest.approx(ssim(for_ssim(x), for_ssim(y)), abs=1e-5)


def test_the_protocols_differ():
    measured = [protocol.measure(*images(*SIZES[1])) for protocol in PROTOCOLS.values()]
    assert len(set(measured)) == len(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_images(name):
    clean = images(48, 64)[1]
    scores = PROTOCOLS[name].measure(clean, clean)
    assert scores.psnr == math.inf
    assert scores.ssim == pytest.approx(1, abs=1e-12)


def test_a_gray_error_counts_less_in_luma():
    clean = np.full((32, 32, 3), 100, np.uint8)
    rgb, y = (PROTOCOLS[name].measure(clean + np.uint8(5), clean).psnr for name in ("basicsr-rgb", "basicsr-y"))
    assert rgb == pytest.approx(20 * math.log10(255 / 5), abs=1e-9)
    assert y - rgb == pytest.approx(20 * math.log10(255 / 219), abs=1e-9)


def test_kinds_of_samples_are_the_same_images():
    restored, clean = images(48, 64)
    eight = np.rint(restored * 255).astype(np.uint8)
    expected = PROTOCOLS["basicsr-y"].measure(restored, clean)
    assert PROTOCOLS["basicsr-y"].measure(eight, clean) == expected
    assert PROTOCOLS["basicsr-y"].measure(eight, clean.astype(np.uint16) * 257) == expected


def test_the_batch_metric_is_that_of_files():
    restored, clean = images(48, 64)
    batch = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in (restored, clean / 255)]
    assert float(psnr(*batch, rounded=True)) == pytest.approx(
        PROTOCOLS["basicsr-rgb"].measure(restored, clean).psnr, abs=1e-6
    )


@pytest.mark.parametrize(
    ("name", "shapes", "message"),
    [
        ("basicsr-rgb", ((32, 32, 3), (32, 33, 3)), "of the same size"),
        ("basicsr-rgb", ((32, 32), (32, 32)), r"\[H, W, 3\]"),
        ("basicsr-rgb", ((10, 64, 3), (10, 64, 3)), "window of 11 pixels"),
        ("rgb-border4", ((8, 64, 3), (8, 64, 3)), "to nothing"),
        ("rgb-float-crop16", ((15, 64, 3), (15, 64, 3)), "16 pixels a side"),
    ],
)
def test_images_that_cannot_be_compared(name, shapes, message):
    with pytest.raises(ValueError, match=message):
        PROTOCOLS[name].measure(*(np.zeros(shape, np.uint8) for shape in shapes))


def test_a_value_that_is_not_finite():
    with pytest.raises(ValueError, match="not finite"):
        PROTOCOLS["basicsr-y"].measure(np.full((16, 16, 3), np.nan, np.float32), np.zeros((16, 16, 3), np.uint8))


def test_an_unknown_protocol():
    with pytest.raises(ValueError, match=r"unknown protocol 'psnr-y'.*basicsr-y"):
        protocol_named("psnr-y")


class AlexNetFeatures(torch.nn.Module):
    """The part of AlexNet that LPIPS needs, without the 200 MB of its classifier."""

    def __init__(self):
        super().__init__()
        with torch.device("meta"):
            self.features = alexnet(weights=None).features
        self.to_empty(device="cpu")
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=0.05)


@pytest.fixture(scope="module")
def lpips_weights(tmp_path_factory):
    """Files of the published names and shapes, with random weights."""
    folder = tmp_path_factory.mktemp("lpips")
    torch.manual_seed(0)
    torch.save(AlexNetFeatures().state_dict(), folder / BACKBONE)
    channels = (64, 192, 384, 256, 256)
    heads = {f"lin{index}.model.1.weight": torch.rand(1, count, 1, 1) for index, count in enumerate(channels)}
    torch.save(heads, folder / HEADS)
    return folder


def expected_lpips(folder, restored, clean):
    """LPIPS in float64 from nothing but the weights: convolutions, ReLUs and poolings of AlexNet, one by one."""
    weights = {name: w.double() for name, w in torch.load(folder / BACKBONE, weights_only=True).items()}
    heads = list(torch.load(folder / HEADS, weights_only=True).values())

    def activations(image):
        x = torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[None] * 2 - 1
        x = (x - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
            :, None, None
        ]
        for layer, stride, padding, pooled in ((0, 4, 2, 0), (3, 1, 2, 1), (6, 1, 1, 1), (8, 1, 1, 0), (10, 1, 1, 0)):
            x = F.max_pool2d(x, 3, 2) if pooled else x
            x = F.relu(
                F.conv2d(x, weights[f"features.{layer}.weight"], weights[f"features.{layer}.bias"], stride, padding)
            )
            yield F.normalize(x, dim=1)

    pairs = zip(heads, activations(restored), activations(clean), strict=True)
    return sum(float((head[0].double() * (x - y)[0] ** 2).sum(0).mean()) for head, x, y in pairs)


def test_lpips(lpips_weights):
    restored, clean = images(70, 90)
    clean = clean.astype(np.float32) / 255
    distance = Lpips.open(lpips_weights)
    assert distance.measure(restored, clean) == pytest.approx(expected_lpips(lpips_weights, restored, clean), rel=1e-4)
    assert distance.measure(clean, clean) == 0
    with pytest.raises(ValueError, match="31 pixels a side"):
        distance.measure(restored[:30], clean[:30])
    assert distance.measure(restored[:31, :31], clean[:31, :31]) > 0


def test_lpips_without_its_weights(lpips_weights, tmp_path):
    with pytest.raises(CheckpointError, match=rf"No such file.*{BACKBONE} and {HEADS}"):
        Lpips.open(tmp_path)
    (tmp_path / HEADS).write_bytes((lpips_weights / BACKBONE).read_bytes())
    (tmp_path / BACKBONE).write_bytes((lpips_weights / BACKBONE).read_bytes())
    with pytest.raises(CheckpointError, match="not the weights of LPIPS"):
        Lpips.open(tmp_path)
