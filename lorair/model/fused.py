"""The restorer by the fused kernels: the same U-Net, its blocks and convolutions holding U weight sets.

The wiring stays in :class:`lorair.model.unet.RestorationNet`; only what computes at its leaves is exchanged.
Activations remain [B, C, H, W] in channels_last memory, so the kernels' [B, H, W, C] is a view.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from lorair_kernels import BlockWeights, PackedExperts, naf_block, pointwise, top_expert
from torch import Tensor, nn

from lorair.model.cuda_graphs import GraphedCalls
from lorair.model.experts import ExpertConv2d
from lorair.model.unet import NAFBlock, RestorationNet

# A weight set of the published network is 137 MB in 16 bits; more images of soft gates run one part after another.
MOST_SETS = 8


@dataclass(frozen=True)
class ConvSets:
    """A convolution's weight sets: ``[U, N, K]`` where it is pointwise, else ``[U, cout, cin, k, k]``, and its bias."""

    weight: Tensor
    bias: Tensor


WeightSets = Mapping[str, "BlockWeights | ConvSets"]


@dataclass
class Running:
    """What the leaves compute with in the call that runs: U weight sets by leaf, and each image's, int32 [B]."""

    sets: WeightSets = field(default_factory=dict)
    index: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int32))


class FusedRestorer:
    """A U-Net with experts, run by the kernels; a mixed batch at once, without asking the GPU for a value.

    Without gradients, gates of one expert (``one_hot``) choose from a bank of merged sets, one per expert and one
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
        """Images ``[B, 3, H, W]``, prior ``[B, P]``, gates ``[B, E]`` -> restored ``[B, 3, H, W]``.

        Where one-hot gates were promised, an image whose gates are neither one-hot nor all zero becomes NaN.
        """
        if torch.is_grad_enabled():
            chosen = self._one_hot and not gates.requires_grad  # which expert it is has no gradient
            return self._by_bank(images, prior, gates) if chosen else self._by_image(images, prior, gates)
        if self._one_hot:
            return self._graphed_by_bank(images, prior, gates)
        parts = zip(*(x.split(MOST_SETS) for x in (images, prior, gates)), strict=True)
        return torch.cat([self._graphed_by_image(*part) for part in parts])

    def forget(self) -> None:
        """Drop what was made of the parameters; to be called when one has changed."""
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
        twin._modules = {child: self._exchanged(m, prefix + child) for child, m in module.named_children()}
        return twin


class FusedNet(RestorationNet):
    """The U-Net whose up-convolutions add the skip connection in their own launch."""

    def upscaled(self, up: nn.Module, x: Tensor, skip: Tensor) -> Tensor:
        return up(x, skip)


class FusedBlock(nn.Module):
    """A NAFBlock computed by :func:`lorair_kernels.naf_block`."""

    def __init__(self, block: NAFBlock, name: str, running: Running) -> None:
        super().__init__()
        self.block, self.name, self.running = block, name, running
        self.window = block.attention.window

    def folded(self, merged: Mapping[str, Tensor]) -> BlockWeights:
        prefix = f"{self.name}."
        sets = {f"{key.removeprefix(prefix)}.weight": w for key, w in merged.items() if key.startswith(prefix)}
        return BlockWeights.fold(dict(self.block.named_parameters()) | sets, storage_dtype(self.block.beta))

    def forward(self, x: Tensor) -> Tensor:
        weights = self.running.sets[self.name]
        assert isinstance(weights, BlockWeights)
        height, width = x.shape[-2:]
        local = self.window is not None and (self.window < height or self.window < width)
        window = (min(self.window or height, height), min(self.window or width, width)) if local else None
        maps = x.permute(0, 2, 3, 1).to(weights.conv1.weight.dtype)
        return naf_block(maps, weights, self.running.index, window).permute(0, 3, 1, 2)


class SetConv2d(nn.Module):
    """A convolution of [B, C, H, W] with U weight sets, each image by its own.

    A 1x1 convolution, and a 2x2 one of stride 2, is one launch of the pointwise kernel; a 3x3 one goes to torch with
    the images as groups.
    """

    squares = ""

    def __init__(self, conv: ExpertConv2d, name: str, running: Running) -> None:
        super().__init__()
        self.conv, self.name, self.running = conv, name, running
        self.is_pointwise = conv.kernel_size == conv.stride
        if conv.stride == (2, 2):
            self.squares = "read"

    def folded(self, merged: Mapping[str, Tensor]) -> ConvSets:
        weight = merged[self.name]
        dtype = storage_dtype(weight)
        bias = weight.new_zeros(self.conv.out_channels) if self.conv.bias is None else self.conv.bias
        if not self.is_pointwise:
            return ConvSets(weight.to(dtype), bias.to(dtype))
        rows = weight.permute(0, 1, 3, 4, 2).flatten(2).to(dtype).contiguous()
        return ConvSets(rows, bias.float().expand(len(weight), -1).contiguous())

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        sets, index = self.running.sets[self.name], self.running.index
        assert isinstance(sets, ConvSets)
        x = x.to(sets.weight.dtype)
        if self.is_pointwise:
            added = None if skip is None else skip.permute(0, 2, 3, 1).to(x.dtype)
            maps = x.permute(0, 2, 3, 1)
            return pointwise(maps, sets.weight, sets.bias, index, None, added, squares=self.squares).permute(0, 3, 1, 2)
        batch, height, width = x.shape[0], *x.shape[-2:]
        weight, bias = sets.weight[index].flatten(0, 1), sets.bias.repeat(batch)
        y = F.conv2d(x.reshape(1, -1, height, width), weight, bias, padding=self.conv.padding, groups=batch)
        return y.view(batch, -1, height, width).contiguous(memory_format=torch.channels_last)


class UpConv2d(SetConv2d):
    """A 1x1 convolution, its pixel shuffle and the skip connection, one launch of the pointwise kernel."""

    squares = "write"

    def folded(self, merged: Mapping[str, Tensor]) -> ConvSets:
        sets = super().folded(merged)
        # A pixel shuffle takes a square's four numbers of a channel side by side, the kernel a pixel's channels.
        weight, bias = (rows.unflatten(1, (-1, 4)).transpose(1, 2).flatten(1, 2) for rows in (sets.weight, sets.bias))
        return ConvSets(weight, bias)


def storage_dtype(parameter: Tensor) -> torch.dtype:
    """What the kernels store activations and weights as: the parameters' type, under autocast autocast's."""
    device = parameter.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else parameter.dtype
