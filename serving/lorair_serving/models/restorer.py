"""The model `restorer`: tiles in, restored tiles out, by whatever runtime its artefact takes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from lorair.inference import open_runtime
from lorair.model import Routing
from lorair_serving.models.triton_api import Request, Response, batch_of, responses
from lorair_serving.repository import ServedModel


class TritonPythonModel:
    """What Triton calls, with the requests of one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        model = ServedModel.from_config(json.loads(args["model_config"]))
        instances = model.service.instances or 1
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // instances))
        folder = Path(args["model_repository"]) / args["model_version"]
        self.runtime = open_runtime(str(folder / model.artefact), model.service.device)
        self.routed = model.view_size is not None

    def execute(self, requests: Sequence[Request]) -> list[Response]:
        images = batch_of(requests, "image")
        if not self.routed:
            restored, gates = self.runtime.restore(images, None)
            return responses(requests, "image", {"restored": restored, "gates": gates})
        routing = Routing(None, batch_of(requests, "gates"), batch_of(requests, "prior"))
        restored, _ = self.runtime.restore(images, routing)
        return responses(requests, "image", {"restored": restored})
