"""The restorer by the fused kernels: the same U-Net, its blocks and convolutions holding U weight sets.

The wiring stays in :class:`lorair.restorer.RestorationNet`; only what computes at its leaves is exchanged.
Activations remain [B, C, H, W] in channels_last memory, so the kernels' [B, H, W, C] is a view.
"""

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from lorair_kernels import BlockWeights, PackedExperts, naf_block, pointwise
from torch import Tensor, nn

from lorair.experts import ExpertConv2d
from lorair.restorer import NAFBlock, RestorationNet


@dataclass
class Choice:
    """The weight set of each image of the batch that runs, int32 [B]."""

    index: Tensor


class FusedNet:
    """A U-Net for inference, merged for ``gates`` [U, E]: image i is restored by the weights of row ``index[i]``."""

    def __init__(self, net: RestorationNet, gates: Tensor) -> None:
        convs = {name: module for name, module in net.named_modules() if isinstance(module, ExpertConv2d)}
        packed = PackedExperts.pack(
            [c.weight for c in convs.values()],
            [c.a for c in convs.values()],
            [c.b for c in convs.values()],
            net.intro.scale,
        )
        self._sets = dict(zip(convs, packed.merge(gates), strict=True))
        self._choice = Choice(torch.zeros(1, dtype=torch.int32))
        self._net = self._exchanged(net, "")

    def __call__(self, images: Tensor, prior: Tensor, index: Tensor) -> Tensor:
        """Images ``[B, 3, H, W]``, prior ``[B, P]``, index int32 ``[B]`` -> restored ``[B, 3, H, W]``."""
        self._choice.index = index
        return self._net(images, prior)

    def _exchanged(self, module: nn.Module, name: str) -> nn.Module:
        """The module with fused leaves; everything else is shared with the original."""
        if isinstance(module, NAFBlock):
            sets = {f"{key.removeprefix(name)}.weight": w for key, w in self._sets.items() if key.startswith(name)}
            return FusedBlock(module, sets, self._choice)
        if isinstance(module, ExpertConv2d):
            return SetConv2d(module, self._sets[name.removesuffix(".")], self._choice)
        twin = copy.copy(module)
        twin._modules = {child: self._exchanged(m, f"{name}{child}.") for child, m in module.named_children()}
        return twin


class FusedBlock(nn.Module):
    """A NAFBlock computed by :func:`lorair_kernels.naf_block`."""

    def __init__(self, block: NAFBlock, sets: dict[str, Tensor], choice: Choice) -> None:
        super().__init__()
        self.weights = BlockWeights.fold(dict(block.named_parameters()) | sets, block.beta.dtype)
        self.window = block.attention.window
        self.choice = choice

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        local = self.window is not None and (self.window < height or self.window < width)
        window = (min(self.window or height, height), min(self.window or width, width)) if local else None
        y = naf_block(x.permute(0, 2, 3, 1), self.weights, self.choice.index, window)
        return y.permute(0, 3, 1, 2)


class SetConv2d(nn.Module):
    """A convolution of [B, C, H, W] with U weight sets, each image by its own.

    A 1x1 convolution, and one whose stride is its size, is one launch of the pointwise kernel; a 3x3 one goes to
    torch with the images as groups.
    """

    def __init__(self, conv: ExpertConv2d, weight: Tensor, choice: Choice) -> None:
        super().__init__()
        bias = weight.new_zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.size, self.padding = conv.kernel_size[0], conv.padding
        self.is_pointwise = conv.kernel_size == conv.stride
        self.weight = weight.permute(0, 1, 3, 4, 2).flatten(2).contiguous() if self.is_pointwise else weight
        self.bias = bias.float().expand(len(weight), -1).contiguous() if self.is_pointwise else bias
        self.choice = choice

    def forward(self, x: Tensor) -> Tensor:
        if self.is_pointwise:
            return pointwise(self.patches(x), self.weight, self.bias, self.choice.index).permute(0, 3, 1, 2)
        batch, height, width = x.shape[0], *x.shape[-2:]
        weight, bias = self.weight[self.choice.index].flatten(0, 1), self.bias.repeat(batch)
        y = F.conv2d(x.reshape(1, -1, height, width), weight, bias, padding=self.padding, groups=batch)
        return y.view(batch, -1, height, width).contiguous(memory_format=torch.channels_last)

    def patches(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, H/k, W/k, k*k*C], a row for each k x k square of pixels."""
        k = self.size
        batch, channels, height, width = x.shape
        squares = x.permute(0, 2, 3, 1).reshape(batch, height // k, k, width // k, k, channels)
        return squares.transpose(2, 3).reshape(batch, height // k, width // k, k * k * channels)
