"""Modules put in the place of others."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def replace_modules(module: nn.Module, kind: type[M], make: Callable[[M], nn.Module]) -> None:
    """Put what `make` makes in the place of every module of that kind, below `module`."""
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            replace_modules(child, kind, make)


def plain_conv2d(weight: Tensor, groups: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """A convolution with that kernel and no bias."""
    out_channels, in_channels, k, _ = weight.shape
    with torch.device("meta"):
        conv = nn.Conv2d(in_channels * groups, out_channels, k, stride, padding, groups=groups, bias=False)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    return conv
