"""The model `router`: views of images in, gates and priors out."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from lorair.checkpoints import load
from lorair.inference import images_together
from lorair_serving.models.triton_api import Request, Response, batch_of, responses
from lorair_serving.repository import ServedModel


class TritonPythonModel:
    """What Triton calls, with the requests of one batch."""

    def initialize(self, args: dict[str, str]) -> None:
        model = ServedModel.from_config(json.loads(args["model_config"]))
        folder = Path(args["model_repository"]) / args["model_version"]
        self.router = load(folder / model.artefact, model.service.device).eval().router
        self.device = self.router.head.weight.device
        torch.set_num_threads(1)  # its work is small compared with the restorer's

    @torch.inference_mode()
    def execute(self, requests: Sequence[Request]) -> list[Response]:
        views = batch_of(requests, "views").to(self.device)
        routings = [self.router.route_views(part) for part in views.split(images_together(views))]
        gates, prior = (torch.cat([getattr(routing, name) for routing in routings]) for name in ("gates", "prior"))
        return responses(requests, "views", {"gates": gates, "prior": prior})
