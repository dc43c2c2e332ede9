"""The model `lorair` inside a stand-in for Triton's Python backend: every failure has its code."""

import json
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from lorair_serving.errors import ErrorCode, code_and_text
from lorair_serving.models.request_handler import Answer
from lorair_serving.repository.settings import ServedModel, Service

from lorair.errors import ImageError
from lorair.images import picture_from_samples

IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
MODEL = ServedModel(("noise", "rain"), 32, 4, "model.pt", Service(tile=64, overlap=16, workers=1, max_waiting=1))


class Tensor:
    def __init__(self, name, array):
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array


class Sender:
    """Keeps the one response of a request."""

    def __init__(self, cancelled):
        self.cancelled, self.response, self.sent = cancelled, None, threading.Event()

    def is_cancelled(self):
        return self.cancelled

    def send(self, response, flags):
        assert self.response is None and flags == "final"
        self.response = response
        self.sent.set()

    def outputs(self):
        assert self.sent.wait(10)
        return {tensor.name(): tensor.as_numpy() for tensor in self.response.tensors}

    def error(self):
        assert self.sent.wait(10)
        message, code = self.response.error
        return (*code_and_text(message), code)


class Request:
    def __init__(self, parameters=None, outputs=("restored_pixels", "degradation", "gates"), cancelled=False):
        self.text, self.names = json.dumps(parameters or {}), outputs
        self.sender = Sender(cancelled)

    def inputs(self):
        return [Tensor("pixels", IMAGE)]

    def parameters(self):
        return self.text

    def requested_output_names(self):
        return self.names

    def get_response_sender(self):
        return self.sender


class Handler:
    """Answers with the image itself, or fails; waits for ``gate``."""

    def __init__(self, failure=None):
        self.failure, self.gate, self.running = failure, threading.Event(), threading.Event()
        self.gate.set()

    def answer(self, request):
        self.running.set()
        assert self.gate.wait(10)
        if self.failure is not None:
            raise self.failure
        return Answer(picture_from_samples(request.pixels), {"noise": 0.25, "rain": 0.75}, "rain")


@pytest.fixture
def front(monkeypatch, tmp_path):
    class TritonError:
        def __new__(cls, message, code):
            return message, code

    for code in ("UNAVAILABLE", "INVALID_ARG", "CANCELLED", "INTERNAL"):
        setattr(TritonError, code, code)
    backend = SimpleNamespace(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=lambda tensors=(), error=None: SimpleNamespace(tensors=tensors, error=error),
        TRITONSERVER_RESPONSE_COMPLETE_FINAL="final",
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)
    for name in ("front", "served_runtime", "triton_api"):
        monkeypatch.delitem(sys.modules, f"lorair_serving.models.{name}", raising=False)
    from lorair_serving.models.front import TritonPythonModel

    def make(handler, model=MODEL):
        front = TritonPythonModel()
        config = json.dumps({"parameters": {"service": {"string_value": model.to_json()}}})
        front.initialize({"model_config": config, "model_repository": str(tmp_path), "model_version": "1"})
        front.handler = handler
        return front

    return make


def test_outputs_are_those_asked_for(front):
    request = Request(outputs=("restored_encoded", "restored_pixels", "gates"))
    front(Handler()).execute([request])
    outputs = request.sender.outputs()
    assert outputs.keys() == {"restored_pixels", "gates"}, "in the form of the input"
    assert np.array_equal(outputs["restored_pixels"], IMAGE) and outputs["gates"].tolist() == [0.25, 0.75]
    request = Request()
    front(Handler()).execute([request])
    assert request.sender.outputs()["degradation"].tolist() == [b"rain"]


@pytest.mark.parametrize(
    ("parameters", "failure", "code", "triton"),
    [
        ({"tile": 3}, None, ErrorCode.INVALID_REQUEST, "INVALID_ARG"),
        ({"background": "yes"}, None, ErrorCode.INVALID_REQUEST, "INVALID_ARG"),
        ({}, ValueError("unknown degradation"), ErrorCode.INVALID_REQUEST, "INVALID_ARG"),
        ({}, ImageError("damaged"), ErrorCode.INVALID_IMAGE, "INVALID_ARG"),
        ({}, RuntimeError("out of memory"), ErrorCode.INTERNAL, "INTERNAL"),
    ],
)
def test_failure_has_its_code(front, parameters, failure, code, triton):
    request = Request(parameters)
    front(Handler(failure)).execute([request])
    found, text, triton_code = request.sender.error()
    assert (found, triton_code) == (code, triton)
    assert failure is None or str(failure) in text


def test_full_queue_and_cancelled_request(front):
    handler = Handler()
    handler.gate.clear()
    model = front(handler)
    first, second, third = Request(), Request(cancelled=True), Request()
    model.execute([first])
    assert handler.running.wait(10)
    model.execute([second, third])
    assert third.sender.error() == (ErrorCode.QUEUE_FULL, "request queue full (1); retry later", "UNAVAILABLE")
    handler.gate.set()
    assert first.sender.outputs() and second.sender.error()[::2] == (ErrorCode.CANCELLED, "CANCELLED")


def test_request_that_waited_too_long(front):
    model = front(Handler(), replace(MODEL, service=replace(MODEL.service, max_wait_s=0)))
    request = Request()
    model.execute([request])
    assert request.sender.error()[::2] == (ErrorCode.QUEUE_TIMEOUT, "UNAVAILABLE")
