"""The model `lorair`: each request in a thread of its own, its tiles restored by the models behind it."""

import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]
from safetensors.torch import load_file
from torch import Tensor

from lorair.errors import LorairError, UnknownDegradationError
from lorair.model import Routing, pinned_routing, router_views
from lorair_serving.models.image_request import Answer, Front, ImageRequest
from lorair_serving.models.waiting import BusyError, WaitingLine
from lorair_serving.repository import BUSY, PRIORS, RESTORER, ROUTER, ServedModel

TEXTS = ("degradation", "stream")  # parameters of a request

logger = logging.getLogger(__name__)


class ServedRuntime:
    """The router and the restorer of the same server, as one runtime."""

    name = "triton"
    size_range: tuple[int, int] | None

    def __init__(self, model: ServedModel, mean_priors: Tensor | None) -> None:
        self.degradations = model.degradations
        self.size_range = model.service.tile, model.service.tile
        self.view_size = model.view_size
        self.mean_priors = mean_priors

    def route(self, images: Tensor) -> Routing | None:
        if self.view_size is None:
            return None
        gates, prior = infer(ROUTER, {"views": router_views(images, self.view_size)}, ("gates", "prior"))
        return Routing(None, gates, prior)

    def pin(self, degradation: str, batch: int) -> Routing:
        if degradation not in self.degradations:
            raise UnknownDegradationError(degradation, self.degradations)
        if self.mean_priors is None:
            raise ValueError("this model takes no named degradation; leave it out")
        return pinned_routing(self.degradations.index(degradation), self.mean_priors, batch)

    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        if routing is None:
            restored, gates = infer(RESTORER, {"image": images}, ("restored", "gates"))
            return restored, gates
        inputs = {"image": images, "gates": routing.gates, "prior": routing.prior}
        return infer(RESTORER, inputs, ("restored",))[0], routing.gates


class TritonPythonModel:
    """What Triton calls. Requests are answered as they are done, whatever came first."""

    def initialize(self, args: dict[str, str]) -> None:
        torch.set_num_threads(1)  # threads come from requests
        model = ServedModel.from_config(json.loads(args["model_config"]))
        priors = Path(args["model_repository"]) / args["model_version"] / PRIORS
        mean_priors = load_file(priors)["mean_priors"] if priors.exists() else None
        # Of each instance's batches one runs or waits and one is made ready.
        tiles = ThreadPoolExecutor(2 * model.service.max_batch * max(2, model.service.instances or 1))
        self.front = Front(ServedRuntime(model, mean_priors), model.service, tiles.map)
        self.line = WaitingLine(model.service.workers, model.service.max_waiting)
        self.max_wait_s = model.service.max_wait_s

    def execute(self, requests: Sequence[Any]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                # Tensors of a request do not outlive this call.
                wanted, received = request.requested_output_names(), image_request(request)
                self.line.put(partial(self.answer, received, wanted, sender, time.monotonic()), received.background)
            except Exception as error:
                reply(sender, error=told(error))

    def answer(self, request: ImageRequest, wanted: Sequence[str], sender: Any, since: float) -> None:  # noqa: ANN401
        try:
            if sender.is_cancelled():
                raise CancelledError("the client has given up")
            if (waited := time.monotonic() - since) > self.max_wait_s:
                raise BusyError(f"the image has waited {waited:.0f} s, longer than an image may; {BUSY}")
            tensors = output_tensors(self.front.answer(request), request, wanted)
        except Exception as error:
            reply(sender, error=told(error))
        else:
            reply(sender, tensors)


def image_request(request: Any) -> ImageRequest:  # noqa: ANN401
    """A request of Triton's as one of ours, its tensors copied."""
    parameters = json.loads(request.parameters() or "{}")
    for name in parameters.keys() - {*TEXTS, "background"}:
        raise ValueError(f"unknown parameter {name!r}; this service knows {', '.join(TEXTS)} and background")
    background = parameters.get("background", False)
    if not isinstance(background, bool):
        raise ValueError(f"background is true or false; got {background!r}")
    given = {tensor.name(): tensor.as_numpy().copy() for tensor in request.inputs()}
    degradation, stream = (None if (text := parameters.get(name)) is None else str(text) for name in TEXTS)
    return ImageRequest(given.get("encoded"), given.get("pixels"), degradation, stream, background)


def output_tensors(answer: Answer, request: ImageRequest, wanted: Sequence[str]) -> list[Any]:
    """The outputs asked for; of the two forms of the image, where both are, that of the input alone."""
    names = set(wanted)
    if {"restored_encoded", "restored_pixels"} <= names:
        names.remove("restored_encoded" if request.encoded is None else "restored_pixels")
    make = {
        "restored_encoded": answer.encoded,
        "restored_pixels": answer.pixels,
        "degradation": lambda: np.array([answer.degradation.encode()], object),
        "gates": lambda: np.array(list(answer.gates.values()), np.float32),
    }
    return [pb_utils.Tensor(name, np.ascontiguousarray(make[name]())) for name in make if name in names]


def infer(model: str, inputs: dict[str, Tensor], outputs: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Ask another model of this server."""
    tensors = [pb_utils.Tensor.from_dlpack(name, tensor.contiguous()) for name, tensor in inputs.items()]
    request = pb_utils.InferenceRequest(model_name=model, requested_output_names=list(outputs), inputs=tensors)
    response = request.exec()
    if response.has_error():
        raise RuntimeError(response.error().message())
    found = (pb_utils.get_output_tensor_by_name(response, name) for name in outputs)
    return tuple(torch.from_dlpack(tensor.to_dlpack()).cpu() for tensor in found)


def reply(sender: Any, tensors: Sequence[Any] = (), error: Any = None) -> None:  # noqa: ANN401
    response = pb_utils.InferenceResponse(list(tensors), error=error)
    sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def told(error: Exception) -> Any:  # noqa: ANN401
    """What the client is told: what it did wrong in full, of our own failures the kind, the rest in the log."""
    if isinstance(error, BusyError):
        return pb_utils.TritonError(str(error), pb_utils.TritonError.UNAVAILABLE)
    if isinstance(error, CancelledError):
        return pb_utils.TritonError(str(error), pb_utils.TritonError.CANCELLED)
    if isinstance(error, (ValueError, LorairError)):
        return pb_utils.TritonError(str(error), pb_utils.TritonError.INVALID_ARG)
    logger.exception("a request failed")
    return pb_utils.TritonError(f"the service failed ({type(error).__name__}: {error}); its log tells more")
