import io

import numpy as np
import pytest
import torch
from lorair_serving.models.request_handler import ImageRequest, RequestHandler
from lorair_serving.repository.settings import Service
from PIL import Image

from lorair.errors import ImageError
from lorair.inference import restore
from lorair.inference.torch_runtime import TorchRuntime
from lorair.model.lorair import LoRAIR

SERVICE = Service(tile=64, overlap=16, max_pixels=20_000, max_bytes=100_000, max_streams=2, refresh_s=60)
IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)


class CountingRuntime(TorchRuntime):
    """Counts how often the router is asked."""

    def __init__(self, model: LoRAIR) -> None:
        super().__init__(model)
        self.routed = 0

    def route(self, images: torch.Tensor):
        self.routed += 1
        return super().route(images)


@pytest.fixture
def runtime(make_model) -> CountingRuntime:
    return CountingRuntime(make_model())


def encoded(image: np.ndarray, format: str) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return np.frombuffer(file.getvalue(), np.uint8)


def test_pixels_are_restored_as_by_the_library(runtime):
    answer = RequestHandler(runtime, SERVICE).answer(ImageRequest(pixels=IMAGE))
    expected = restore([IMAGE], runtime, tile=64, overlap=16)[0]
    assert np.array_equal(answer.pixels(), expected)
    assert answer.degradation == max(answer.gates, key=lambda name: answer.gates[name])


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_file_comes_back_in_its_format(runtime, format):
    answer = RequestHandler(runtime, SERVICE).answer(ImageRequest(encoded=encoded(IMAGE, format)))
    with Image.open(io.BytesIO(answer.encoded().tobytes())) as image:
        assert (image.format, image.size) == (format, (100, 80))


def test_gray_and_alpha_stay(runtime):
    gray_alpha = np.random.default_rng(0).integers(0, 256, (20, 30, 2), np.uint8)
    restored = RequestHandler(runtime, SERVICE).answer(ImageRequest(pixels=gray_alpha)).pixels()
    assert restored.shape == gray_alpha.shape and np.array_equal(restored[..., 1], gray_alpha[..., 1])


def test_named_degradation_needs_no_router(runtime):
    answer = RequestHandler(runtime, SERVICE).answer(ImageRequest(pixels=IMAGE, degradation="haze"))
    assert runtime.routed == 0 and answer.degradation == "haze"


def test_stream_is_routed_once_until_refreshed(runtime):
    handler = RequestHandler(runtime, SERVICE)
    for _ in range(3):
        handler.answer(ImageRequest(pixels=IMAGE, stream="door"))
    assert runtime.routed == 1
    handler.answer(ImageRequest(pixels=IMAGE, stream="yard"))
    handler.answer(ImageRequest(pixels=IMAGE, stream="roof"))
    handler.answer(ImageRequest(pixels=IMAGE, stream="door"))  # forgotten: two streams are kept
    assert runtime.routed == 4
    refreshed = RequestHandler(runtime, Service(tile=64, refresh_s=0))
    for _ in range(2):
        refreshed.answer(ImageRequest(pixels=IMAGE, stream="door"))
    assert runtime.routed == 6


@pytest.mark.parametrize(
    ("image_request", "error", "words"),
    [
        (ImageRequest(), ValueError, "either 'encoded'"),
        (ImageRequest(encoded(IMAGE, "PNG"), IMAGE), ValueError, "either 'encoded'"),
        (ImageRequest(pixels=np.zeros((200, 200, 3), np.uint8)), ValueError, "200 x 200 pixels"),
        (ImageRequest(pixels=np.zeros((2, 2, 7), np.uint8)), ValueError, "1 to 4 channels"),
        (ImageRequest(pixels=np.zeros((0, 2, 3), np.uint8)), ValueError, "not empty"),
        (ImageRequest(pixels=np.zeros((2, 2, 0), np.uint8)), ValueError, "not empty"),
        (ImageRequest(pixels=IMAGE, degradation="fog"), ValueError, "unknown degradation"),
        (ImageRequest(encoded=np.zeros(200_000, np.uint8)), ValueError, "200000 bytes"),
        (ImageRequest(encoded=np.zeros(0, np.uint8)), ImageError, "empty"),
        (ImageRequest(encoded=np.zeros(100, np.uint8)), ImageError, "not a readable"),
        (ImageRequest(encoded=encoded(IMAGE, "PNG")[:2000]), ImageError, "damaged"),
        (ImageRequest(encoded=encoded(np.zeros((5000, 5000), np.uint8), "PNG")), ImageError, "5000 x 5000 pixels"),
    ],
)
def test_what_it_rejects(runtime, image_request, error, words):
    with pytest.raises(error, match=words):
        RequestHandler(runtime, SERVICE).answer(image_request)
    assert runtime.routed == 0
