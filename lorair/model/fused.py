"""The restorer by the fused kernels: the same U-Net, its blocks and convolutions holding U weight sets.

The wiring stays in `lorair.model.unet.RestorationNet`; only what computes at its leaves is exchanged.
"""

import copy

import torch
from lorair_kernels import PackedExperts, top_expert
from torch import Tensor, nn

from lorair.model.blocks import NAFBlock
from lorair.model.cuda_graphs import GraphedCalls
from lorair.model.experts import ExpertConv2d
from lorair.model.fused_leaves import FusedBlock, Running, SetConv2d, UpConv2d, WeightSets
from lorair.model.unet import RestorationNet

# A weight set of the published network is 137 MB in 16 bits; more images of soft gates run one part after another.
MOST_SETS = 8


class FusedRestorer:
    """A U-Net with experts, run by the kernels; a mixed batch at once, without asking the GPU for a value.

    Without gradients, gates of one expert (`one_hot`) choose from a bank of merged sets, one per expert and one
    without any, and others are merged image by image; either is a CUDA graph per image size. With gradients every
    step merges anew.
    """

    def __init__(self, net: RestorationNet, one_hot: bool) -> None:
        self._convs = {name: module for name, module in net.named_modules() if isinstance(module, ExpertConv2d)}
        self._leaves: dict[str, FusedBlock | SetConv2d] = {}
        self._running = Running()
        self._net = self._exchanged(net, "")
        self._scale, self._experts = net.intro.scale, len(net.intro.a)
        self._one_hot = one_hot
        self.forget()

    def __call__(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        """Images `[B, 3, H, W]`, prior `[B, P]`, gates `[B, E]` -> restored `[B, 3, H, W]`.

        Where one-hot gates were promised, an image whose gates are neither one-hot nor all zero becomes NaN.
        """
        if torch.is_grad_enabled():
            chosen = self._one_hot and not gates.requires_grad  # the index of the expert has no gradient
            return self._by_bank(images, prior, gates) if chosen else self._by_image(images, prior, gates)
        if self._one_hot:
            return self._graphed_by_bank(images, prior, gates)
        parts = zip(*(x.split(MOST_SETS) for x in (images, prior, gates)), strict=True)
        return torch.cat([self._graphed_by_image(*part) for part in parts])

    def forget(self) -> None:
        """Drop the merged weight sets; call this when a parameter has changed."""
        self._packed: PackedExperts | None = None
        self._bank: WeightSets | None = None
        self._graphed_by_bank = GraphedCalls(self._by_bank)
        self._graphed_by_image = GraphedCalls(self._by_image)

    def _by_bank(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        kept = None if torch.is_grad_enabled() else self._bank
        sets = kept or self._merged(torch.eye(self._experts + 1, self._experts, dtype=gates.dtype, device=gates.device))
        if not torch.is_grad_enabled():
            self._bank, self._packed = sets, None
        largest = gates.amax(1)
        index = torch.where(largest > 0, top_expert(gates), self._experts)
        restored = self._run(images, prior, sets, index)
        promised = (largest == gates.sum(1)) & ((largest == 0) | (largest == 1))
        return restored.where(promised[:, None, None, None], torch.nan)

    def _by_image(self, images: Tensor, prior: Tensor, gates: Tensor) -> Tensor:
        index = torch.arange(len(images), dtype=torch.int32, device=images.device)
        return self._run(images, prior, self._merged(gates), index)

    def _run(self, images: Tensor, prior: Tensor, sets: WeightSets, index: Tensor) -> Tensor:
        self._running.sets, self._running.index = sets, index.to(torch.int32)
        return self._net(images, prior)

    def _merged(self, gates: Tensor) -> WeightSets:
        """The weight sets of gates [U, E], folded as the leaves take them."""
        merged = dict(zip(self._convs, self._pack().merge(gates), strict=True))
        return {name: leaf.folded(merged) for name, leaf in self._leaves.items()}

    def _pack(self) -> PackedExperts:
        if self._packed is not None and not torch.is_grad_enabled():
            return self._packed
        convs = self._convs.values()
        packed = PackedExperts.pack([c.weight for c in convs], [c.a for c in convs], [c.b for c in convs], self._scale)
        if not torch.is_grad_enabled():
            self._packed = packed
        return packed

    def _exchanged(self, module: nn.Module, name: str) -> nn.Module:
        """The module with fused leaves; everything else is shared with the original."""
        if isinstance(module, NAFBlock):
            self._leaves[name] = FusedBlock(module, name, self._running)
        elif isinstance(module, ExpertConv2d):
            leaf = UpConv2d if name.startswith("ups.") else SetConv2d
            self._leaves[name] = leaf(module, name, self._running)
        if name in self._leaves:
            return self._leaves[name]
        twin = copy.copy(module)
        if isinstance(twin, RestorationNet):
            twin.__class__ = FusedNet
        prefix = f"{name}." if name else ""
        # nn.Module has no public way to exchange all children.
        twin._modules = {child: self._exchanged(m, prefix + child) for child, m in module.named_children()}  # pyright: ignore[reportPrivateUsage]
        return twin


class FusedNet(RestorationNet):
    """The U-Net whose up-convolutions add the skip connection in their own launch."""

    def upscaled(self, up: nn.Module, x: Tensor, skip: Tensor) -> Tensor:
        return up(x, skip)
