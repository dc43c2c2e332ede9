"""The model `router`: views of images in, gates and priors out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lorair.checkpoint import load
from lorair_serving.models.batches import answers, batch_of
from lorair_serving.service import ServedModel


class TritonPythonModel:
    """What Triton calls, with the requests of one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        model = ServedModel.from_config(json.loads(args["model_config"]))
        folder = Path(args["model_repository"]) / args["model_version"]
        self.router = load(folder / model.artefact, model.service.device).eval().router
        self.device = self.router.head.weight.device

    @torch.inference_mode()
    def execute(self, requests: Sequence[Any]) -> list[Any]:
        routing = self.router.route_views(batch_of(requests, "views").to(self.device))
        return answers(requests, "views", {"gates": routing.gates, "prior": routing.prior})
