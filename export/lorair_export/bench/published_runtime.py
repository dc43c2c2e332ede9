"""The published form as a runtime to measure against: `published:best.pt`."""

from pathlib import Path

from torch import Tensor

from lorair.checkpoints import load
from lorair.inference import TorchRuntime
from lorair.model import LoRAIR
from lorair_export.bench.published import PublishedRestorer, published_params


class PublishedRuntime(TorchRuntime):
    """A checkpoint restored as the official code computes, a batch at once, behind the same router.

    It pools over the checkpoint's window, so that both compute one function: the official code's window is 1.5 times
    the first image that its process sees.
    """

    name = "published"

    def __init__(self, model: LoRAIR) -> None:
        super().__init__(model)
        params = {name: tensor.contiguous() for name, tensor in published_params(model.restorer.net).items()}
        config = model.config
        self.published = PublishedRestorer(params, config.restorer, config.router.top_k).to(model.device).eval()

    @classmethod
    def accepts(cls, target: str) -> bool:
        scheme, _, checkpoint = target.partition(":")
        return scheme == "published" and TorchRuntime.accepts(checkpoint)

    @classmethod
    def open(cls, target: str, device: str = "auto", clip_weights: Path | None = None) -> "PublishedRuntime":
        return cls(load(target.partition(":")[2], device, clip_weights))

    def _restored(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        return self.published(images, prior, gates.log())  # the softmax of which is gates again
