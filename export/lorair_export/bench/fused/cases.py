"""The restorer's forms on one mixed batch: fused, eager, compiled and published."""

from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
from lorair_kernels.benchmarks import Case, Form, merge_case_of
from torch import Tensor

from lorair.model import ExpertConv2d, FusedRestorer, ModelConfig, RestorationNet
from lorair_export.bench.fused.work import restorer_work
from lorair_export.bench.published import PublishedRestorer, published_params
from lorair_export.bench.random_restorer import random_restorer

DTYPE = torch.float16
TOLERANCE = 5e-3  # relative L2 error of what the restorer adds to the image; float32 multiplies in TF32
# The published form moves about 27 times the fused plan's bytes: four images of 1024 x 1024 take some 0.4 s.
PUBLISHED_PIXELS = 4 * 1024**2


class RestorerCases:
    """The cases of one restorer with random weights, its weight sets made once.

    `window` is the channel attention's, None for the mean over the whole map, as the published form computes it for
    the first image that it gets.
    """

    def __init__(self, config: ModelConfig, device: str, window: int | None = None) -> None:
        self.config = replace(config, restorer=replace(config.restorer, local_window=window))
        self.device = device
        self.exact = random_restorer(self.config).to(device)
        self.half = deepcopy(self.exact).to(DTYPE)
        self.by_bank = FusedRestorer(self.half.net, one_hot=True)
        self.by_image = FusedRestorer(self.half.net, one_hot=False)
        self.published = published_restorer(self.config, published_params(self.exact.net)).to(device)

    def case(self, size: int, batch: int, compiled: bool = False) -> Case:
        """A batch of `size` x `size` images, image i by expert i modulo E; `compiled` adds torch.compile.

        The plain network, which the mixed batch is compared with, restores all images by expert 0. With soft gates
        each image has its own weights, merged in the call.
        """
        experts = len(self.config.degradations)
        torch.manual_seed(0)
        images = torch.rand(batch, 3, size, size, device=self.device)
        prior = torch.randn(batch, self.config.router.prior_dim, device=self.device)
        bank = torch.eye(experts, device=self.device)
        gates, first = bank[torch.arange(batch, device=self.device) % experts], bank[:1].expand(batch, -1)
        soft = torch.rand(batch, experts, device=self.device).softmax(1)
        half = images.to(DTYPE).contiguous(memory_format=torch.channels_last), prior.to(DTYPE)
        forms = {"fused, mixed experts": Form(self.by_bank, (*half, gates.to(DTYPE)), TOLERANCE, "own graphs")}
        for name, call, routed in (
            ("fused, plain network", self.by_bank, first),
            ("fused, soft gates", self.by_image, soft),
        ):
            expected = partial(self.restored, images, prior, routed)
            forms[name] = Form(call, (*half, routed.to(DTYPE)), TOLERANCE, "own graphs", expected)
        forms["eager channels_last"] = Form(self.half, (*half, gates.to(DTYPE)), TOLERANCE)
        if self.config.restorer.local_window is None and batch * size**2 <= PUBLISHED_PIXELS:
            forms["published, float32"] = Form(self.published, (images, prior, gates), TOLERANCE)
        if compiled:
            forms["torch.compile"] = Form(
                self.merged_net(bank[0]), half, TOLERANCE, "max-autotune",
                expected=partial(self.restored, images, prior, first),
            )  # fmt: skip
        work = restorer_work(self.config.restorer, size, batch, min(batch, experts), DTYPE.itemsize)
        what = "restorer" if self.config.restorer.local_window is None else "restorer, local mean"
        shape = f"{batch}x3x{size}x{size}"
        return Case(what, shape, DTYPE, work, forms, lambda: self.restored(images, prior, gates), images)

    def merged_net(self, gates: Tensor) -> RestorationNet:
        """The plain U-Net with the experts of `gates` [E] in its own parameters."""
        net = deepcopy(self.exact.net)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, ExpertConv2d):
                    module.weight.copy_(module.merged_weight(gates))
        return net.to(DTYPE)

    @torch.no_grad()
    def restored(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        """The expected output: one image after the other in float32."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            parts = [self.exact(*one) for one in zip(images.split(1), prior.split(1), gates.split(1), strict=True)]
        return torch.cat(parts)

    def merge_case(self) -> Case:
        """The merge of all convolutions for one image."""
        convs = [module for module in self.half.net.modules() if isinstance(module, ExpertConv2d)]
        parts = zip(*((conv.weight.detach(), conv.a.detach(), conv.b.detach()) for conv in convs), strict=True)
        weights, a, b = (list(part) for part in parts)
        return merge_case_of(weights, a, b, self.config.restorer.scale)


def published_restorer(config: ModelConfig, params: dict[str, Tensor]) -> PublishedRestorer:
    """The published form on tensors by their published names, top-1."""
    return PublishedRestorer({name: p.contiguous() for name, p in params.items()}, config.restorer, 1)
