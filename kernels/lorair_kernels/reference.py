"""Every operation in plain torch: any floating dtype, any device, differentiable. The oracle and the CPU path."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-6


def expert_delta(a: Tensor, b: Tensor, gates: Tensor, shape: Sequence[int]) -> Tensor:
    """Sum of the gated experts, ``sum_e gates[e] * view(b[e] @ a[e], shape)`` (LoRA-IR, arXiv 2410.15385).

    Written as one product of the rank-stacked factors, so that the experts cost one matrix product and an
    exporter cannot fold them into full-size copies of the weight.

    Args:
        a: ``[E, r*k, cin*k]``, down-projections of E experts of rank r for a k x k convolution.
        b: ``[E, (cout/groups)*k, r*k]``, up-projections.
        gates: ``[E]``, one gate per expert.
        shape: the convolution weight's shape, ``[cout, cin/groups, k, k]``; the product is viewed row-major.

    Returns:
        The delta with the given shape and the factors' dtype.
    """
    stacked_a = a.flatten(0, 1)
    stacked_b = (b * gates.to(b.dtype)[:, None, None]).transpose(0, 1).flatten(1)
    return (stacked_b @ stacked_a).reshape(tuple(shape))


def merge_experts(weight: Tensor, a: Tensor, b: Tensor, gates: Tensor, scale: float) -> Tensor:
    """One image's effective weight, ``weight + scale * expert_delta``, with the weight's shape and dtype.

    Args:
        weight: ``[cout, cin/groups, k, k]``.
        a, b, gates: as in :func:`expert_delta`.
        scale: alpha / rank, 2 in the published models.
    """
    return torch.add(weight, expert_delta(a, b, gates, weight.shape), alpha=scale)


def factor_shapes(shapes: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """``(rows, columns, rank)`` of each convolution, where ``b`` is [E, rows, rank] and ``a`` is [E, rank, columns]."""
    return zip(shapes[::3], shapes[1::3], shapes[2::3], strict=True)


def merge_packed(weights: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: Sequence[int], scale: float) -> Tensor:
    """The effective weights of many convolutions for many gate vectors, every tensor packed into one row.

    The published view is row-major for every kind of convolution, so a weight of ``[cout, cin/groups, k, k]`` is,
    number for number, the matrix of ``rows = cout/groups*k`` and ``columns = cin*k`` that its factors span.

    Args:
        weights: ``[P]``, all convolution weights, flat, one after the other.
        a, b: ``[PA]`` and ``[PB]``, their factors ``[E, rank, columns]`` and ``[E, rows, rank]`` likewise.
        gates: ``[U, E]``, one row per distinct gate vector.
        shapes: ``rows, columns, rank`` of each convolution in turn.
        scale: alpha / rank.

    Returns:
        ``[U, P]`` with the dtype of the weights.
    """
    merged: list[Tensor] = []
    for weight, down, up in unpack(weights, a, b, shapes, gates.shape[1]):
        deltas = torch.einsum("ue,erk,ekc->urc", gates.to(a.dtype), up, down)
        merged.append((weight + scale * deltas).to(weights.dtype).flatten(1))
    return torch.cat(merged, dim=1)


def merge_packed_backward(
    grad: Tensor, a: Tensor, b: Tensor, gates: Tensor, shapes: Sequence[int], scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of :func:`merge_packed` in a, b and gates, where ``grad`` is [U, P].

    ``dA_e = s sum_u g_ue B_e^T dW_u``, ``dB_e = s sum_u g_ue dW_u A_e^T``, ``dg_ue = s <dW_u, B_e A_e>``.
    """
    wide = gates.to(a.dtype)
    grads_a: list[Tensor] = []
    grads_b: list[Tensor] = []
    grad_gates = torch.zeros_like(wide)
    for rows, down, up in unpack(grad, a, b, shapes, gates.shape[1]):
        grads_a.append(scale * torch.einsum("ue,erk,urc->ekc", wide, up, rows.to(a.dtype)).flatten())
        grads_b.append(scale * torch.einsum("ue,urc,ekc->erk", wide, rows.to(a.dtype), down).flatten())
        grad_gates += scale * torch.einsum("urc,erk,ekc->ue", rows.to(a.dtype), up, down)
    return torch.cat(grads_a), torch.cat(grads_b), grad_gates.to(gates.dtype)


def unpack(
    weights: Tensor, a: Tensor, b: Tensor, shapes: Sequence[int], experts: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """``(weight [..., rows, columns], a [E, rank, columns], b [E, rows, rank])`` of each packed convolution."""
    weight_at = a_at = b_at = 0
    for rows, columns, rank in factor_shapes(shapes):
        weight = weights.narrow(-1, weight_at, rows * columns).unflatten(-1, (rows, columns))
        down = a.narrow(0, a_at, experts * rank * columns).view(experts, rank, columns)
        up = b.narrow(0, b_at, experts * rows * rank).view(experts, rows, rank)
        weight_at, a_at, b_at = weight_at + rows * columns, a_at + down.numel(), b_at + up.numel()
        yield weight, down, up


def to_squares(x: Tensor) -> Tensor:
    """``[B, 2H, 2W, C]`` -> ``[B, H, W, 4C]``: the channels of a 2x2 square of pixels, row by row."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
    return squares.reshape(batch, height // 2, width // 2, 4 * channels)


def from_squares(x: Tensor) -> Tensor:
    """The inverse of :func:`to_squares`."""
    batch, height, width, channels = x.shape
    pixels = x.reshape(batch, height, width, 2, 2, channels // 4).transpose(2, 3)
    return pixels.reshape(batch, 2 * height, 2 * width, channels // 4)


def pointwise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    index: Tensor,
    *,
    normalised: bool,
    residual: Tensor | None,
    gated: bool,
    squares: str = "",
) -> Tensor:
    """A 1x1 convolution with each image's own weights, ``residual + gate(weight[index] norm(x) + bias[index])``.

    Args:
        x: ``[B, H, W, K]``.
        weight: ``[U, N, K]`` weight sets.
        bias: ``[U, N]``.
        index: ``[B]`` integers, the weight set of each image.
        normalised: whether x is layer-normalised over its channels first (eps 1e-6, no affine: fold it).
        residual: ``[B, H, W, N]`` to add, or None.
        gated: whether the N channels' halves are multiplied (SimpleGate of NAFNet, arXiv 2204.04676), leaving N/2.
        squares: ``"read"``: a 2x2 convolution of stride 2, where x is ``[B, 2H, 2W, K/4]`` and passes
            :func:`to_squares`; ``"write"``: a pixel shuffle, where what is returned and added is ``[B, 2H, 2W, N/4]``,
            by :func:`from_squares`.

    Returns:
        ``[B, H, W, N]``, or N/2 channels where gated, with x's dtype.
    """
    chosen = index.long()
    if squares == "read":
        x = to_squares(x)
    y = F.layer_norm(x, x.shape[-1:], eps=EPS) if normalised else x
    y = torch.einsum("bhwk,bnk->bhwn", y, weight[chosen].to(x.dtype)) + bias[chosen, None, None].to(x.dtype)
    if gated:
        u, v = y.chunk(2, dim=-1)
        y = u * v
    if squares == "write":
        y = from_squares(y)
    return y if residual is None else residual + y


def feed_forward(x: Tensor, w4: Tensor, b4: Tensor, w5: Tensor, b5: Tensor, index: Tensor) -> Tensor:
    """The feed-forward half of NAFNet's block (arXiv 2204.04676), ``x + W5 gate(W4 norm(x) + b4) + b5``.

    Args:
        x: ``[B, H, W, C]``, layer-normalised inside (eps 1e-6, no affine: fold it).
        w4: ``[U, 2C, C]``, b4 ``[U, 2C]``.
        w5: ``[U, C, C]``, the residual scale folded in; b5 ``[U, C]``.
        index: ``[B]`` integers, the weight set of each image.

    Returns:
        ``[B, H, W, C]`` with x's dtype.
    """
    z = pointwise(x, w4, b4, index, normalised=True, residual=None, gated=True)
    return pointwise(z, w5, b5, index, normalised=False, residual=x, gated=False)


def gated_lowrank(
    x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, index: Tensor, gates: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """A 1x1 convolution with low-rank experts, ``x W^T + bias + scale * sum_j g_j (x A_j^T) B_j^T``.

    Args:
        x: ``[B, H, W, K]``.
        weight: ``[N, K]``, bias ``[N]``.
        a, b: ``[E, R, K]`` and ``[E, N, R]``, the experts' factors.
        index: ``[B, k]`` integers, the active experts of each image.
        gates: ``[B, k]``, their gates.
        scale: alpha / rank.

    Returns:
        y ``[B, H, W, N]`` with x's dtype, and ``x A^T`` of the active experts in turn, ``[B, H, W, k*R]`` in float32
        or x's wider dtype.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    chosen = index.long()
    down = torch.einsum("bhwc,bjrc->bhwjr", x.to(wide), a[chosen].to(wide))
    low = torch.einsum("bhwjr,bj,bjnr->bhwn", down, gates.to(wide), b[chosen].to(wide))
    y = x.to(wide) @ weight.to(wide).T + bias.to(wide) + scale * low
    return y.to(x.dtype), down.flatten(3)


def grouped_sum(values: Tensor, index: Tensor, sets: int) -> Tensor:
    """The sum of ``values`` [B, ...] over the images of each set: [sets, ...], zeros for a set without an image."""
    member = index == torch.arange(sets, device=index.device)[:, None]
    return torch.einsum("ub,bn->un", member.to(values.dtype), values.flatten(1)).view(sets, *values.shape[1:])


def grouped_weight_grad(x: Tensor, dy: Tensor, index: Tensor, sets: int) -> Tensor:
    """The gradient of a 1x1 convolution's weight sets, ``dW_u = sum over images b of set u of dy_b^T x_b``.

    Args:
        x: ``[B, H, W, K]``, what the convolution read.
        dy: ``[B, H, W, N]``, the gradient of what it wrote.
        index: ``[B]`` integers, the weight set of each image.
        sets: U, how many sets there are.

    Returns:
        ``[U, N, K]`` in float32 or x's wider dtype, zeros for a set without an image.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    return grouped_sum(torch.einsum("bhwn,bhwk->bnk", dy.to(wide), x.to(wide)), index, sets)


def depthwise_gate(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """A depthwise 3x3 convolution, SimpleGate, and the sums that the channel attention pools.

    Args:
        x: ``[B, H, W, 2C]``.
        weight: ``[U, 9, 2C]``, taps row by row.
        bias: ``[U, 2C]``.
        index: ``[B]`` integers, the weight set of each image.

    Returns:
        y ``[B, H, W, C]`` with x's dtype, and its sums over the pixels ``[B, C]`` in float32 or x's wider dtype.
    """
    y = F.conv2d(*_as_groups(x, weight, bias, index), padding=1, groups=x.shape[0] * x.shape[3])
    u, v = y.view(x.shape[0], x.shape[3], *x.shape[1:3]).permute(0, 2, 3, 1).chunk(2, dim=-1)
    gated = (u * v).contiguous()
    return gated, gated.sum((1, 2), dtype=torch.promote_types(x.dtype, torch.float32))


def depthwise_gate_backward(
    dy: Tensor, dsums: Tensor, x: Tensor, weight: Tensor, bias: Tensor, index: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`depthwise_gate`, whose results y and sums have the gradients ``dy`` and ``dsums``.

    Returns:
        dx ``[B, H, W, 2C]`` with x's dtype, and each image's own gradients of taps and bias, ``[B, 10, 2C]`` (the
        bias last) in float32 or x's wider dtype: sum them over the images of each set.
    """
    batch, height, width, channels = x.shape
    groups = batch * channels
    maps, taps, biases = _as_groups(x, weight, bias, index)
    u, v = F.conv2d(maps, taps, biases, padding=1, groups=groups).view(batch, channels, height, width).chunk(2, dim=1)
    gated = dy.permute(0, 3, 1, 2) + dsums[:, :, None, None].to(dy.dtype)
    d = torch.cat([gated * v, gated * u], dim=1).reshape(maps.shape)
    dx, dtaps, dbias = torch.ops.aten.convolution_backward(
        d, maps, taps, [groups], [1, 1], [1, 1], [1, 1], False, [0, 0], groups, [True, True, True]
    )
    own = torch.cat([dtaps.view(batch, channels, 9), dbias.view(batch, channels, 1)], dim=2).transpose(1, 2)
    dx = dx.view(batch, channels, height, width).permute(0, 2, 3, 1)
    return dx, own.to(torch.promote_types(x.dtype, torch.float32))


def _as_groups(x: Tensor, weight: Tensor, bias: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What F.conv2d takes for a depthwise convolution of each image by its own set: every map a group."""
    chosen = index.long()
    maps = x.permute(0, 3, 1, 2).flatten(0, 1)[None]
    taps = weight[chosen].to(x.dtype).transpose(1, 2).reshape(-1, 1, 3, 3)
    return maps, taps, bias[chosen].to(x.dtype).flatten()


def attention_weights(
    sums: Tensor, weight: Tensor, bias: Tensor, following: Tensor, index: Tensor, pixels: int
) -> Tensor:
    """The next 1x1 convolution's weights with the channel attention's scales in their columns.

    ``following diag(weight mean + bias)``: scaling a convolution's input is scaling its columns, which are fewer.

    Args:
        sums: ``[B, C]`` float, the channels' sums over ``pixels`` pixels.
        weight: ``[U, C, C]``, the attention's 1x1 convolution; bias ``[U, C]``.
        following: ``[U, N, C]``, the weights of the convolution that follows.
        index: ``[B]`` integers, the weight set of each image.

    Returns:
        ``[B, N, C]`` with the dtype of ``following``.
    """
    chosen = index.long()
    scales = torch.einsum("bnk,bk->bn", weight[chosen].to(sums.dtype), sums / pixels) + bias[chosen].to(sums.dtype)
    return (following[chosen].to(sums.dtype) * scales[:, None]).to(following.dtype)


def local_mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Mean over every full window of the map, stride 1, by running sums (TLSC, arXiv 2112.04491).

    The sums run in float32 along one axis at a time: a 16-bit prefix sum overflows, and one over both axes
    loses digits with the area.

    Args:
        x: ``[B, C, H, W]``.
        window: height and width of the window, at most H and W.

    Returns:
        ``[B, C, H - window_h + 1, W - window_w + 1]`` with x's dtype.
    """
    sums = x.to(torch.promote_types(x.dtype, torch.float32))
    for axis, size in zip((-2, -1), window, strict=True):
        running = torch.nn.functional.pad(sums.cumsum(axis), (1, 0) if axis == -1 else (0, 0, 1, 0))
        steps = x.shape[axis] - size + 1
        sums = (running.narrow(axis, size, steps) - running.narrow(axis, 0, steps)) / size
    return sums.to(x.dtype)
