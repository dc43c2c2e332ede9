"""All convolutions of a model with their experts: merged in one launch, or one merged weight set per expert."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from lorair_kernels.merge import merge_packed


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


@dataclass(frozen=True)
class PackedExperts:
    """The convolutions of a model, their weights and factors packed into three flat buffers.

    `weights` `[P]`, `a` `[PA]` and `b` `[PB]` as in `lorair_kernels.reference.merge_packed`;
    `weight_shapes` are the convolution weights' shapes, `shapes` the rows, columns and rank of each one's factors.
    """

    weights: Tensor
    a: Tensor
    b: Tensor
    weight_shapes: tuple[tuple[int, ...], ...]
    shapes: tuple[int, ...]
    experts: int
    scale: float

    @classmethod
    def pack(cls, weights: Sequence[Tensor], a: Sequence[Tensor], b: Sequence[Tensor], scale: float) -> "PackedExperts":
        """Pack convolutions, differentiably.

        Args:
            weights: `[cout, cin/groups, k, k]` each.
            a, b: their factors, `[E, r*k, cin*k]` and `[E, (cout/groups)*k, r*k]`.
            scale: alpha / rank.
        """
        shapes: list[int] = []
        for weight, down, up in zip(weights, a, b, strict=True):
            if up.shape[1] * down.shape[2] != weight.numel() or up.shape[2] != down.shape[1]:
                raise ValueError(
                    f"factors must be [E, r*k, cin*k] and [E, cout/groups*k, r*k] of a weight {tuple(weight.shape)}; "
                    f"got {tuple(down.shape)} and {tuple(up.shape)}"
                )
            shapes += [up.shape[1], down.shape[2], down.shape[1]]
        weight_shapes = tuple(tuple(weight.shape) for weight in weights)
        return cls(_flat(weights), _flat(a), _flat(b), weight_shapes, tuple(shapes), len(a[0]), scale)

    def merge(self, gates: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Each convolution's effective weights `[U, cout, cin/groups, k, k]` for `gates` [U, E], by one launch.

        The results are views of one buffer and have `dtype`, the weights' own where it is None.
        """
        merged = merge_packed(
            self.weights, self.a, self.b, gates, list(self.shapes), self.scale, dtype or self.weights.dtype
        )
        parts = merged.split([prod(shape) for shape in self.weight_shapes], dim=1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.weight_shapes, strict=True)]

    def bank(self, dtype: torch.dtype | None = None) -> list[Tensor]:
        """One merged set per expert, `[E, cout, cin/groups, k, k]`: built once, then chosen by `top_expert`."""
        return self.merge(torch.eye(self.experts, dtype=self.weights.dtype, device=self.weights.device), dtype)


def top_expert(gates: Tensor) -> Tensor:
    """The bank's set for each image of `gates` [B, E], int32 [B], without a device-to-host copy."""
    return gates.argmax(dim=1).to(torch.int32)
