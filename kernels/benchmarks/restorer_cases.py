"""The whole restorer by its forms on one mixed batch, and a step of fine-tuning beside the published form's."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from arithmetic import Work, restorer_work
from lorair_export.bench import PublishedRestorer, published_params, random_restorer
from measure import Case, Form
from torch import Tensor

from lorair.checkpoints import restorer_name
from lorair.model import ExpertConv2d, FusedRestorer, ModelConfig, RestorationNet

DTYPE = torch.float16
TOLERANCE = 5e-3  # of what the restorer adds to the image, and float32's with TF32 products, gradients included
GRADIENT_TOLERANCE = 2e-2
BFLOAT16_TOLERANCE = 1e-1
# The published form moves some 27 times the fused plan's bytes: four images of 1024 pixels a side take about 0.4 s.
PUBLISHED_PIXELS = 4 * 1024**2


class RestorerCases:
    """The cases of one restorer with random weights, its weight sets made once.

    ``window`` is the channel attention's, None for the mean over the whole map, which the published form takes of
    the first image that it sees.
    """

    def __init__(self, config: ModelConfig, device: str, window: int | None = None) -> None:
        self.config = replace(config, restorer=replace(config.restorer, local_window=window))
        self.device = device
        self.exact = random_restorer(self.config).to(device)
        self.half = deepcopy(self.exact).to(DTYPE)
        self.by_bank = FusedRestorer(self.half.net, one_hot=True)
        self.by_image = FusedRestorer(self.half.net, one_hot=False)
        self.published = _published(self.config, published_params(self.exact.net)).to(device)

    def case(self, size: int, batch: int, compiled: bool = False) -> Case:
        """A batch of ``size`` x ``size`` images, image i by expert i modulo E; by torch.compile too where asked.

        The plain network, which the mixed batch is compared with, restores all images by expert 0; with soft gates
        every image has weights of its own, merged in the call.
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
        """The plain U-Net with the experts of ``gates`` [E] in its own parameters."""
        net = deepcopy(self.exact.net)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, ExpertConv2d):
                    module.weight.copy_(module.merged_weight(gates))
        return net.to(DTYPE)

    @torch.no_grad()
    def restored(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        """What is right: one image after the other in float32."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            parts = [self.exact(*one) for one in zip(images.split(1), prior.split(1), gates.split(1), strict=True)]
        return torch.cat(parts)


def training_case(config: ModelConfig, device: str, size: int = 256, batch: int = 8) -> Case:
    """A step of fine-tuning the experts, base frozen: a mixed batch forward, the gradients of all factors back."""
    config = replace(config, restorer=replace(config.restorer, local_window=None))
    restorer = random_restorer(config).to(device).requires_grad_(False)
    params = published_params(restorer.net)
    factors = [name for name in params if "lora_" in name]
    own = dict(restorer.net.named_parameters())
    ours = [own[restorer_name(name)].requires_grad_() for name in factors]
    theirs = {name: tensor.detach().clone().requires_grad_(name in factors) for name, tensor in params.items()}
    published = _published(config, theirs).requires_grad_(False).to(device)
    experts = len(config.degradations)
    gates = torch.eye(experts, device=device)[torch.arange(batch, device=device) % experts]
    prior = torch.randn(batch, config.router.prior_dim, device=device)
    arguments = (*torch.rand(2, batch, 3, size, size, device=device).unbind(), prior, gates)
    step = _step(restorer, ours)

    def exact() -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return step(*arguments)

    fused = FusedRestorer(restorer.net, one_hot=True)
    forms = {
        "torch, merged per gate vector": Form(step, arguments, GRADIENT_TOLERANCE),
        "fused, bfloat16": Form(_step(fused, ours, torch.bfloat16), arguments, BFLOAT16_TOLERANCE),
        "published": Form(_step(published, [theirs[name] for name in factors]), arguments, GRADIENT_TOLERANCE),
    }
    # Each convolution is one product forward and two back: in its input, and in its weight, from which the factors'.
    forward = restorer_work(config.restorer, size, batch, min(batch, experts), 4)
    work = tuple(Work(3 * launch.bytes, 3 * launch.flops) for launch in forward)
    return Case("fine-tuning step", f"{batch}x3x{size}x{size}", torch.float32, work, forms, exact)


def _step(
    restorer: Callable[..., Tensor], factors: list[Tensor], autocast: torch.dtype | None = None
) -> Callable[..., Tensor]:
    """Degraded and clean images, prior and gates -> the gradients of all factors in one row of numbers."""

    def step(degraded: Tensor, clean: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        with torch.enable_grad():
            with torch.autocast(degraded.device.type, autocast, enabled=autocast is not None):
                restored = restorer(degraded, prior, gates)
            gradients = torch.autograd.grad(F.mse_loss(restored.float(), clean), factors)
        return torch.cat([gradient.flatten() for gradient in gradients])

    return step


def _published(config: ModelConfig, params: dict[str, Tensor]) -> PublishedRestorer:
    return PublishedRestorer({name: p.contiguous() for name, p in params.items()}, config.restorer, 1)
