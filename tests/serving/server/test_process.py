"""The service as its users meet it, over a real tritonserver."""

import asyncio
import io
import json
import time
import urllib.request
from dataclasses import replace

import numpy as np
import psutil
import pytest
import torch
from lorair_serving.client.client import AsyncClient, Client
from lorair_serving.client.runtime import TritonRuntime
from lorair_serving.errors import ErrorCode, ServingError
from lorair_serving.load import LoadRecord
from lorair_serving.repository.config import RESTORER
from lorair_serving.repository.writing import write_repository
from lorair_serving.server.ports import Ports
from lorair_serving.server.process import running_server
from PIL import Image

import lorair
from lorair.inference.runtime import open_runtime
from lorair.inference.torch_runtime import TorchRuntime

from ..conftest import SERVICE

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
IN_FLIGHT = [np.random.default_rng(i).integers(0, 256, (60 + i, 90, 3), np.uint8) for i in range(8)]


@pytest.fixture
def client(address):
    with Client(address) as client:
        yield client


@pytest.fixture(scope="module")
def expected(served_checkpoint):
    runtime = TorchRuntime(lorair.load(served_checkpoint, "cpu"))
    runtime.size_range = SERVICE.tile, SERVICE.tile

    def restore(image, degradation=None):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the service has a process per core, and sums depend on the number of threads
        try:
            return lorair.restore(
                [image], runtime, degradation=degradation, tile=SERVICE.tile, overlap=SERVICE.overlap
            )[0]
        finally:
            torch.set_num_threads(threads)

    return restore


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("degradation", [None, "rain"])
@pytest.mark.parametrize("shape", [(80, 100, 3), (64, 64, 3), (20, 150, 3), (70, 70, 1)])
def test_result_is_that_of_the_library(client, expected, shape, degradation):
    image = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    answer = client.restore(image, degradation)
    assert np.array_equal(answer.image, expected(image, degradation))
    assert sum(answer.gates.values()) == pytest.approx(1) and set(answer.gates) == set(client.degradations())
    assert degradation in (None, answer.degradation)


def test_metrics_move(server, client):
    def restored():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('nv_inference_count{model="restorer"'))

    before = restored()
    client.restore(IMAGE)
    assert restored() == before + 4  # tiles


def test_file_comes_back_as_a_file(client, expected):
    with Image.open(io.BytesIO(client.restore(png(IMAGE)).image)) as image:
        assert np.array_equal(np.asarray(image), expected(IMAGE))


def test_images_in_flight_share_batches(address, expected):
    async def restore_all():
        async with AsyncClient(address) as client:
            before = await client.counters(RESTORER)
            answers = await asyncio.gather(*(client.restore(image) for image in IN_FLIGHT))
            return answers, (await client.counters(RESTORER)).since(before)

    answers, counted = asyncio.run(restore_all())
    assert all(np.array_equal(answer.image, expected(image)) for answer, image in zip(answers, IN_FLIGHT, strict=True))
    assert counted.inferences == 5 * 2 + 3 * 4  # two columns of tiles; up to 64 rows one row of them, above two
    assert counted.executions < counted.inferences


@pytest.mark.parametrize(
    ("image", "degradation", "code", "words"),
    [
        (b"", None, ErrorCode.INVALID_IMAGE, "empty"),
        (b"no image", None, ErrorCode.INVALID_IMAGE, "not a readable"),
        (png(IMAGE)[:500], None, ErrorCode.INVALID_IMAGE, "damaged"),
        (png(np.zeros((4000, 4000), np.uint8)), None, ErrorCode.INVALID_IMAGE, "4000 x 4000 pixels"),
        (np.zeros((1000, 1000, 3), np.uint8), None, ErrorCode.INVALID_REQUEST, "1000 x 1000 pixels"),
        (np.zeros((4, 4, 6), np.uint8), None, ErrorCode.INVALID_REQUEST, "1 to 4 channels"),
        (IMAGE, "fog", ErrorCode.INVALID_REQUEST, "unknown degradation 'fog'; choose one of noise, rain, haze"),
    ],
)
def test_bad_request_is_answered_with_its_reason(client, image, degradation, code, words):
    with pytest.raises(ServingError, match=words) as rejected:
        client.restore(image, degradation)
    assert rejected.value.code is code


def test_http_as_it_is(server, expected):
    """The request that README's curl example sends."""
    data = png(IMAGE)
    head = {
        "inputs": [
            {
                "name": "encoded", "shape": [len(data)], "datatype": "UINT8",
                "parameters": {"binary_data_size": len(data)},
            }
        ],
        "outputs": [{"name": "restored_encoded", "parameters": {"binary_data": True}}],
    }  # fmt: skip
    text = json.dumps(head).encode()
    request = urllib.request.Request(f"{server.http}/v2/models/lorair/infer", text + data)
    request.add_header("Inference-Header-Content-Length", str(len(text)))
    with urllib.request.urlopen(request, timeout=30) as answer:
        body = answer.read()[int(answer.headers["Inference-Header-Content-Length"]) :]
    with Image.open(io.BytesIO(body)) as image:
        assert np.array_equal(np.asarray(image), expected(IMAGE))


def test_more_images_than_the_queue_holds_are_rejected_at_once(address):
    async def restore_many():
        async with AsyncClient(address) as client:
            images = np.random.default_rng(0).integers(0, 256, (24, 300, 300, 3), np.uint8)
            return await asyncio.gather(*(client.restore(image) for image in images), return_exceptions=True)

    answers = asyncio.run(restore_many())
    rejected = [answer for answer in answers if isinstance(answer, Exception)]
    assert 0 < len(rejected) <= 24 - SERVICE.workers - SERVICE.max_waiting
    assert all(isinstance(error, ServingError) and error.code is ErrorCode.QUEUE_FULL for error in rejected), rejected
    assert "request queue full (8); retry later" in str(rejected[0])


@pytest.mark.full
def test_images_wait_no_longer_than_allowed_and_equal_tiles_are_restored_once(served_checkpoint, can_serve, tmp_path):
    service = replace(SERVICE, workers=1, max_waiting=2, max_wait_s=0.05, cache_mib=16)
    write_repository(str(served_checkpoint), tmp_path / "repository", service)

    async def restore_many(address):
        async with AsyncClient(address) as client:
            images = np.random.default_rng(0).integers(0, 256, (6, 600, 600, 3), np.uint8)
            answers = await asyncio.gather(*(client.restore(image) for image in images), return_exceptions=True)
            before = await client.counters(RESTORER)
            again = [(await client.restore(np.zeros((600, 600, 3), np.uint8))).image for _ in range(2)]
            return answers, again, (await client.counters(RESTORER)).since(before)

    with running_server(tmp_path / "repository", Ports.free()) as server:
        answers, again, counted = asyncio.run(restore_many(f"127.0.0.1:{server.ports.grpc}"))
    assert server.process.returncode == 0, "stopped in order"
    rejected = {answer.code for answer in answers if isinstance(answer, ServingError)}
    assert rejected == {ErrorCode.QUEUE_FULL, ErrorCode.QUEUE_TIMEOUT}
    assert np.array_equal(*again)
    assert counted.cache_hits >= 169  # tiles of an image


def test_client_that_gives_up_costs_nothing_more(address):
    """What waits is dropped when its client's time is over; what came in meanwhile is answered."""
    with Client(address, timeout_s=0.05, retries=0) as hasty, pytest.raises(ServingError, match="in time"):
        hasty.restore(np.zeros((600, 600, 3), np.uint8))
    with Client(address) as client:
        assert client.restore(IMAGE).image.shape == IMAGE.shape


def test_taken_port_is_one_clear_error(server, tmp_path):
    with pytest.raises(ServingError, match="choose another --http-port"), running_server(tmp_path, server.ports):
        pass


def test_folder_that_is_no_repository_is_one_clear_error(can_serve, tmp_path):
    with pytest.raises(ServingError, match="lorair-serve repo -o"), running_server(tmp_path, Ports.free()):
        pass


def test_no_server_is_one_clear_error():
    with Client("127.0.0.1:1", retries=0) as client, pytest.raises(ServingError, match="no connection to"):
        client.restore(IMAGE)


def test_runtime_is_opened_by_address(address, expected):
    runtime = open_runtime(f"triton://{address}/lorair")
    assert isinstance(runtime, TritonRuntime)
    for degradation in (None, "haze"):
        restored = lorair.restore([IMAGE], runtime, degradation=degradation)[0]
        assert np.array_equal(restored, expected(IMAGE, degradation))


def test_commands_restore_and_load(address, tmp_path, run_command, read_json, capsys):
    (tmp_path / "photo.png").write_bytes(png(IMAGE))
    model = f"triton://{address}/lorair"
    assert run_command("lorair", "restore", tmp_path / "photo.png", "-o", tmp_path / "out", "--model", model) == 0
    assert (tmp_path / "out" / "photo.png").is_file(), capsys.readouterr().err
    load = ["lorair-serve", "load", "--url", address, "--size", "64x96"]
    assert run_command(*load, "--seconds", 2, "--clients", 4, "-o", tmp_path / "load") == 0
    printed = capsys.readouterr().out
    assert "4 clients" in printed and "restorer:" in printed
    record = read_json(LoadRecord, (tmp_path / "load" / "load.json").read_text())
    answered = len(record["outcomes"])
    assert answered > 4 and record["errors"] == {}
    assert record["server"]["lorair"]["inferences"] == answered
    assert record["server"]["restorer"]["inferences"] == 2 * answered
    assert sum(int(size) * count for size, count in record["server"]["restorer"]["batch_sizes"].items()) == 2 * answered
    assert run_command(*load, "--seconds", 1, "--rate", 5, "--json") == 0
    assert read_json(LoadRecord, capsys.readouterr().out)["load"]["rate"] == 5


def test_model_killed_under_load_comes_back(server, address):
    """Only requests in flight fail, each with an error, and it answers again within a minute, of which loading the
    model takes ten seconds where all cores are its own."""
    killed: list[float] = []
    answered: list[float] = []

    async def load_and_kill():
        async with AsyncClient(address) as client:

            async def send(until):
                while time.monotonic() < until and not (killed and answered and answered[-1] > killed[0] + 1):
                    try:
                        assert (await client.restore(IMAGE)).image.shape == IMAGE.shape
                        answered.append(time.monotonic())
                    except ServingError:
                        assert killed
                        await asyncio.sleep(0.1)

            senders = [asyncio.ensure_future(send(time.monotonic() + 60)) for _ in range(6)]
            await asyncio.sleep(1)
            killed.append(time.monotonic())
            for child in psutil.Process(server.process.pid).children(recursive=True):
                if f"/{RESTORER}/1/" in " ".join(child.cmdline()):
                    child.kill()
            await asyncio.gather(*senders)

    asyncio.run(load_and_kill())
    assert any(moment < killed[0] for moment in answered)
    assert any(moment > killed[0] + 1 for moment in answered)
