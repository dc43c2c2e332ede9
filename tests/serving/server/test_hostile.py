"""Requests that no service should get, among good ones: each is rejected with its reason."""

import io
import json
import struct
import urllib.error
import urllib.request
import zlib

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lorair_serving.client.client import Client
from lorair_serving.errors import ErrorCode, code_and_text
from PIL import Image

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
GROWTH = 1.05


def file_of(image: np.ndarray, format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format)
    return file.getvalue()


def png_bomb(side: int) -> bytes:
    """A header that promises side x side pixels, and next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


FILES = [file_of(IMAGE, format) for format in ("PNG", "JPEG", "WEBP", "TIFF")]
DTYPES = {"FP32": np.float32, "INT64": np.int64, "UINT16": np.uint16, "BOOL": np.bool_}


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(FILES)))
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[place] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


def tensor(name: str, data: np.ndarray, kind: str = "UINT8") -> grpc.InferInput:
    made = grpc.InferInput(name, list(data.shape), kind)
    made.set_data_from_numpy(data)
    return made


def encoded(data: bytes) -> list[grpc.InferInput]:
    return [tensor("encoded", np.frombuffer(data, np.uint8))]


def shaped(shape: list[int]) -> list[grpc.InferInput]:
    return [tensor("pixels", np.zeros(shape, np.uint8))]


def typed(name: str, kind: str) -> list[grpc.InferInput]:
    return [tensor(name, np.zeros((4, 4, 3) if name == "pixels" else 16, DTYPES[kind]), kind)]


inputs = st.one_of(
    st.binary(max_size=300).map(encoded),
    damaged_files().map(encoded),
    st.sampled_from([20_000, 100_000, 2**30]).map(lambda side: encoded(png_bomb(side))),
    st.lists(st.integers(0, 9), min_size=1, max_size=5).map(shaped),
    st.builds(typed, st.sampled_from(["encoded", "pixels"]), st.sampled_from(sorted(DTYPES))),
    st.just([]),
    st.just(encoded(FILES[0]) + shaped([4, 4, 3])),
    st.text(min_size=1, max_size=20).map(lambda name: [tensor(name, np.zeros(4, np.uint8))]),
)
parameters = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["degradation", "stream", "tile"]),
        st.one_of(st.text(max_size=30), st.integers(-(2**40), 2**40), st.booleans()),
        max_size=2,
    ),
)


def resident_bytes(server) -> int:
    process = psutil.Process(server.process.pid)
    return sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])


@pytest.mark.parametrize("requests", [100, pytest.param(900, marks=pytest.mark.full)])
def test_hostile_requests_hurt_nobody_else(server, address, requests):
    with Client(address) as client, grpc.InferenceServerClient(address) as raw:
        expected = client.restore(IMAGE).image
        reasons: set[tuple[ErrorCode | None, str]] = set()
        sent = 0

        @settings(
            max_examples=requests,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(inputs, parameters)
        def send(tensors, given_parameters):
            nonlocal sent
            sent += 1
            try:
                answer = raw.infer("lorair", tensors, parameters=given_parameters, client_timeout=30)
            except grpc.InferenceServerException as error:
                assert error.status() in {"StatusCode.INVALID_ARGUMENT", "StatusCode.NOT_FOUND"}, error
                code, text = code_and_text(str(error.message()))
                reasons.add((code, text[:40]))
            else:
                assert answer.get_response().outputs
            if sent % 20 == 0:
                assert np.array_equal(client.restore(IMAGE).image, expected)

        send()
        if requests >= 900:  # the first round fills the allocators' pools
            before = resident_bytes(server)
            send()
            assert resident_bytes(server) <= GROWTH * before
        assert sent >= requests and len(reasons) > 10
        # None where Triton itself rejects a request, before any model sees it.
        assert {code for code, _ in reasons} == {None, ErrorCode.INVALID_REQUEST, ErrorCode.INVALID_IMAGE}, reasons
        assert np.array_equal(client.restore(IMAGE).image, expected)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"inputs": 7}',
        b'{"inputs": [{"name": "encoded", "shape": [-1], "datatype": "UINT8", "data": [1]}]}',
        b'{"inputs": [{"name": "encoded", "shape": [2], "datatype": "UINT8", "data": ["a", {}]}]}',
        json.dumps({"inputs": [{"name": "pixels", "shape": [1, 1], "datatype": "UINT8", "data": [1]}]}).encode(),
    ],
)
def test_malformed_http_is_rejected(server, body):
    with pytest.raises(urllib.error.HTTPError) as rejected:
        urllib.request.urlopen(urllib.request.Request(f"{server.http}/v2/models/lorair/infer", body), timeout=30)
    assert rejected.value.code >= 400
    assert json.loads(rejected.value.read())["error"]
    assert server.ready()
