"""The leaves of the U-Net by the fused kernels: blocks and convolutions that hold U weight sets.

Activations remain [B, C, H, W] in channels_last memory, so the kernels' [B, H, W, C] is a view.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from lorair_kernels import BlockWeights, naf_block, pointwise
from torch import Tensor, nn

from lorair.model.blocks import NAFBlock
from lorair.model.experts import ExpertConv2d


@dataclass(frozen=True)
class ConvSets:
    """A convolution's weight sets: `[U, N, K]` where it is pointwise, else `[U, cout, cin, k, k]`, and its bias."""

    weight: Tensor
    bias: Tensor


WeightSets = Mapping[str, "BlockWeights | ConvSets"]


@dataclass
class Running:
    """What the leaves compute with in the call that runs: U weight sets by leaf, and each image's, int32 [B]."""

    sets: WeightSets = field(default_factory=dict)
    index: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int32))


class FusedBlock(nn.Module):
    """A NAFBlock computed by `lorair_kernels.naf_block`."""

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
