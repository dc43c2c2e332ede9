"""Runtimes that use torch, eager and compiled."""

import re
from pathlib import Path

import torch
from torch import Tensor

from lorair.checkpoints import DEFAULT, load
from lorair.errors import RuntimeUnavailableError
from lorair.model import LoRAIR, Routing

SCHEME = re.compile(r"[a-z][a-z0-9-]+:")


def images_together(batch: Tensor) -> int:
    """How many images of a batch to compute at once: on a CPU one, which is as fast and makes each result independent
    of its batch, bit for bit."""
    return 1 if batch.device.type == "cpu" else len(batch)


class TorchRuntime:
    """A LoRAIR model run by torch, without gradients."""

    name = "torch"
    size_range: tuple[int, int] | None = None

    def __init__(self, model: LoRAIR) -> None:
        self.model = model.eval()
        self.degradations = model.degradations

    @classmethod
    def accepts(cls, target: str) -> bool:
        """Whether a target is a checkpoint; a prefix such as ``openvino:`` selects another runtime."""
        return target == DEFAULT or (Path(target).suffix in {".pt", ".safetensors"} and not SCHEME.match(target))

    @classmethod
    def open(cls, target: str, device: str = "auto", clip_weights: Path | None = None) -> "TorchRuntime":
        return cls(load(target, device, clip_weights))

    @torch.inference_mode()
    def route(self, images: Tensor) -> Routing:
        return self.model.route(images.to(self.model.device))

    def pin(self, degradation: str, batch: int) -> Routing:
        return self.model.pin(degradation, batch)

    @torch.inference_mode()
    def restore(self, images: Tensor, routing: Routing | None) -> tuple[Tensor, Tensor]:
        images = images.to(self.model.device)
        routing = routing or self.model.route(images)
        prior, gates = routing.prior.to(images.device), routing.gates.to(images.device)
        return self._restored(images, prior, gates).clamp(0, 1).cpu(), gates.cpu()

    def _restored(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        together = images_together(images)
        parts = zip(*(tensor.split(together) for tensor in (images, prior, gates)), strict=True)
        return torch.cat([self.model.restorer(*part) for part in parts])


class CompiledRuntime(TorchRuntime):
    """`compile:best.pt`: the restorer's network compiled by torch.compile, anew for each size of images."""

    name = "torch.compile"

    def __init__(self, model: LoRAIR) -> None:
        super().__init__(model)
        model.restorer.net.compile(dynamic=False)

    @classmethod
    def accepts(cls, target: str) -> bool:
        scheme, _, checkpoint = target.partition(":")
        return scheme == "compile" and TorchRuntime.accepts(checkpoint)

    @classmethod
    def open(cls, target: str, device: str = "auto", clip_weights: Path | None = None) -> "CompiledRuntime":
        return cls(load(target.partition(":")[2], device, clip_weights))

    def _restored(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        from torch._dynamo.exc import BackendCompilerFailed

        try:
            return super()._restored(images, prior, gates)
        except BackendCompilerFailed as error:
            raise RuntimeUnavailableError(
                f"torch.compile failed ({' '.join(str(error.inner_exception).split())}); on a CPU it needs a C++ "
                "compiler, on a GPU triton: install that, or name the checkpoint without compile:"
            ) from error
