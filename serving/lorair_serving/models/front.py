"""The model `lorair`: each request in a thread of its own, its tiles restored by the models behind it."""

import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file

from lorair.errors import ImageError, LorairError
from lorair_serving.errors import ErrorCode, RequestError
from lorair_serving.models.request_handler import ImageRequest, RequestHandler
from lorair_serving.models.request_queue import RequestQueue
from lorair_serving.models.served_runtime import ServedRuntime
from lorair_serving.models.triton_api import Request, ResponseSender, send_error, send_outputs
from lorair_serving.repository import PRIORS, ServedModel

TEXTS = ("degradation", "stream")  # parameters of a request

logger = logging.getLogger(__name__)


class TritonPythonModel:
    """What Triton calls. Requests are answered as they are done, whatever came first."""

    def initialize(self, args: dict[str, str]) -> None:
        torch.set_num_threads(1)  # threads come from requests
        model = ServedModel.from_config(json.loads(args["model_config"]))
        priors = Path(args["model_repository"]) / args["model_version"] / PRIORS
        mean_priors = load_file(priors)["mean_priors"] if priors.exists() else None
        service = model.service
        # Of each instance's batches one runs or waits and one is made ready.
        tiles = ThreadPoolExecutor(2 * service.max_batch * max(2, service.instances or 1))
        self.handler = RequestHandler(ServedRuntime(model, mean_priors), service, tiles.map)
        self.queue = RequestQueue(service.workers, service.max_waiting)
        self.max_wait_s = service.max_wait_s

    def execute(self, requests: Sequence[Request]) -> None:
        for request in requests:
            sender = request.get_response_sender()
            try:
                # Tensors of a request do not outlive this call.
                received, outputs = image_request(request), request.requested_output_names()
                self.queue.put(partial(self.answer, received, outputs, sender, time.monotonic()), received.background)
            except Exception as error:
                send_error(sender, *code_and_text_of(error))

    def answer(self, request: ImageRequest, outputs: Sequence[str], sender: ResponseSender, since: float) -> None:
        try:
            if sender.is_cancelled():
                raise RequestError(ErrorCode.CANCELLED, "the client has cancelled the request")
            if (waited := time.monotonic() - since) > self.max_wait_s:
                limit = f"the limit is {self.max_wait_s:g} s"
                raise RequestError(ErrorCode.QUEUE_TIMEOUT, f"queued for {waited:.1f} s, {limit}; retry later")
            arrays = self.handler.answer(request).outputs(outputs, request)
        except Exception as error:
            send_error(sender, *code_and_text_of(error))
        else:
            send_outputs(sender, arrays)


def image_request(request: Request) -> ImageRequest:
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


def code_and_text_of(error: Exception) -> tuple[ErrorCode, str]:
    """What the client receives: its own mistakes in full, of internal errors the kind, with the rest in the log."""
    if isinstance(error, RequestError):
        return error.code, str(error)
    if isinstance(error, ImageError):
        return ErrorCode.INVALID_IMAGE, str(error)
    if isinstance(error, ValueError | LorairError):
        return ErrorCode.INVALID_REQUEST, str(error)
    logger.exception("a request failed")
    return ErrorCode.INTERNAL, f"internal error ({type(error).__name__}: {error}); see the server's log"
