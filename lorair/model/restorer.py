"""The restorer: the U-Net with the weights that each image's gates merge."""

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, get_args

import torch
from lorair_kernels import is_measured, runs_triton
from torch import Tensor, nn
from torch.func import functional_call

from lorair.model.config import RestorerConfig
from lorair.model.experts import ExpertConv2d
from lorair.model.unet import RestorationNet

if TYPE_CHECKING:
    from lorair.model.fused import FusedRestorer

Backend = Literal["auto", "triton", "torch"]

# Above this many activation numbers per image (channels x pixels at full resolution, measured on CPUs) a batch
# leaves the caches, and images run faster one after the other.
CPU_CHUNK = 64 * 256 * 256


class Restorer(nn.Module):
    """The U-Net with its experts: every image is restored by the weights that its gates merge.

    `top_k` promises that an image has at most this number of gates that are not zero; None promises nothing. `backend`
    chooses what runs:
    `"triton"` the fused kernels of `lorair_kernels`, a mixed batch at once; `"torch"` torch; `"auto"` the
    kernels on a GPU that has a launch file, so that they were measured there, and torch elsewhere.

    By torch, images with equal gates share one merged weight set: experts add no cost to a convolution.
    Without gradients what was merged is kept for the next call, by torch at most `cache_size` sets, until a parameter
    changes (written through `.data`, a change goes unseen: call `forget`).
    """

    def __init__(
        self,
        config: RestorerConfig,
        prior_dim: int,
        experts: int,
        top_k: int | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        if backend not in get_args(Backend):
            raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}; got {backend!r}")
        self.backend = backend
        self.net = RestorationNet(config, prior_dim, experts)
        self.width = config.width
        self.top_k = top_k
        self.cache_size = experts
        self._merged: OrderedDict[tuple[float, ...], dict[str, Tensor]] = OrderedDict()
        self._merged_from: tuple[tuple[int, int], ...] = ()
        self._fused: FusedRestorer | None = None

    def forward(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        """Restore images by their priors and gates; zero gates restore without experts.

        Args:
            images: `[B, 3, H, W]` floating, in [0, 1], any H and W.
            prior: `[B, P]`.
            gates: `[B, E]`; rows may differ, a row of zeros leaves the experts out.

        Returns:
            `[B, 3, H, W]`, not clamped.
        """
        if self._runs_fused(images):
            self._forget_if_changed()
            return self._fused_restorer()(images, prior, gates)
        parts: list[Tensor] = []
        order: list[int] = []
        for members in self._groups(gates, images):
            weights = self.merged_weights(gates[members[0]])
            parts.append(functional_call(self.net, weights, (images[members], prior[members])))
            order += members
        if order == sorted(order):
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return torch.cat(parts)[torch.tensor(order, device=images.device).argsort()]

    def merged_weights(self, gates: Tensor) -> dict[str, Tensor]:
        """The U-Net's convolution weights, by parameter name, with the experts of one gate vector [E] merged in."""
        if torch.is_grad_enabled():
            return self._merge(gates)
        self._forget_if_changed()
        key = tuple(gates.tolist())
        if key not in self._merged:
            self._merged[key] = self._merge(gates)
            if len(self._merged) > self.cache_size:
                self._merged.popitem(last=False)
        self._merged.move_to_end(key)
        return self._merged[key]

    def forget(self) -> None:
        """Drop the merged weights that are kept."""
        self._merged.clear()
        if self._fused is not None:
            self._fused.forget()

    def __getstate__(self) -> dict[str, object]:
        """A copy of the module starts with nothing merged."""
        return {**self.__dict__, "_merged": OrderedDict(), "_merged_from": (), "_fused": None}

    def extra_repr(self) -> str:
        return f"backend={self.backend!r}"

    def _forget_if_changed(self) -> None:
        source = tuple((p.data_ptr(), 0 if p.is_inference() else p._version) for p in self.net.parameters())
        if source != self._merged_from:
            self.forget()
            self._merged_from = source

    def _runs_fused(self, images: Tensor) -> bool:
        able = runs_triton(images)
        if self.backend == "triton" and not able:
            raise ValueError(
                f"backend 'triton' needs the triton package and an NVIDIA GPU of compute capability 8.0 or above; "
                f"got images of {images.dtype} on {images.device} (backend 'auto' uses torch there)"
            )
        return self.backend == "triton" or (self.backend == "auto" and able and is_measured(images.device))

    def _fused_restorer(self) -> "FusedRestorer":
        from lorair.model.fused import FusedRestorer

        self._fused = self._fused or FusedRestorer(self.net, one_hot=self.top_k == 1)
        return self._fused

    def _merge(self, gates: Tensor) -> dict[str, Tensor]:
        return {
            f"{name}.weight": conv.merged_weight(gates).contiguous(memory_format=torch.channels_last)
            for name, conv in self.net.named_modules()
            if isinstance(conv, ExpertConv2d)
        }

    def _groups(self, gates: Tensor, images: Tensor) -> list[list[int]]:
        """Rows that run together: equal gates (each its own where gates are learnt), as many as run fast."""
        rows: dict[object, list[int]] = {}
        for index, row in enumerate(gates.tolist()):
            rows.setdefault(index if gates.requires_grad else tuple(row), []).append(index)
        height, width = images.shape[-2:]
        size = max(1, CPU_CHUNK // (self.width * height * width)) if images.device.type == "cpu" else len(images)
        return [members[i : i + size] for members in rows.values() for i in range(0, len(members), size)]
