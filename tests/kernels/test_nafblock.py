"""The fused block against NAFNet's block as published, in float64."""

import pytest
import torch
import torch.nn.functional as F
from lorair_kernels import BlockWeights, naf_block
from torch import nn

SETS, CHANNELS = 3, 24
full = pytest.mark.full
INDEX = {"identical": [1, 1], "distinct": [2, 0], "skewed": [0, 0, 2]}


def block_tensors(channels):
    """A NAFBlock's tensors by name, convolution weights in SETS sets."""
    c = channels
    shapes = {
        "conv1": (2 * c, c, 1), "conv2": (2 * c, 1, 3), "attention.conv": (c, c, 1), "conv3": (c, c, 1),
        "conv4": (2 * c, c, 1), "conv5": (c, c, 1),
    }  # fmt: skip
    block = {}
    for name, (cout, cin, k) in shapes.items():
        block[f"{name}.weight"] = torch.randn(SETS, cout, cin, k, k) / (cin * k * k) ** 0.5
        block[f"{name}.bias"] = torch.randn(cout) / 4
    for norm in ("norm1", "norm2"):
        block[f"{norm}.weight"], block[f"{norm}.bias"] = 1 + torch.randn(c) / 4, torch.randn(c) / 4
    return block | {"beta": torch.randn(1, c, 1, 1), "gamma": torch.randn(1, c, 1, 1)}


def plain_block(x, block, weight_set, window=None):
    """NAFNet's block as published, for one image [1, C, H, W]; means over a window as in TLSC."""

    def conv(name, x, **options):
        return F.conv2d(x, block[f"{name}.weight"][weight_set], block[f"{name}.bias"], **options)

    def norm(name, x):
        weight, bias = block[f"{name}.weight"], block[f"{name}.bias"]
        return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, 1e-6).movedim(-1, 1)

    u, v = conv("conv2", conv("conv1", norm("norm1", x)), padding=1, groups=2 * x.shape[1]).chunk(2, 1)
    y = u * v
    means = F.avg_pool2d(y, window or y.shape[2:], stride=1)
    h, w = y.shape[2] - means.shape[2], y.shape[3] - means.shape[3]
    means = F.pad(means, (w // 2, w - w // 2, h // 2, h - h // 2), mode="replicate")
    y = y * conv("attention.conv", means)
    x = x + block["beta"] * conv("conv3", y)
    u, v = conv("conv4", norm("norm2", x)).chunk(2, 1)
    return x + block["gamma"] * conv("conv5", u * v)


def plain_batch(x, block, index, window=None):
    """NAFNet's block as published for [B, H, W, C], an image at a time."""
    images = [plain_block(x[i : i + 1].movedim(-1, 1), block, chosen, window) for i, chosen in enumerate(index)]
    return torch.cat(images).movedim(1, -1)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("window", [(5, 11), pytest.param((18, 4), marks=full), pytest.param((1, 1), marks=full)])
def test_block_with_local_attention(window, device):
    block = {name: tensor.to(device) for name, tensor in block_tensors(CHANNELS).items()}
    x = torch.randn(2, 18, 11, CHANNELS, device=device)
    wide_block = {name: tensor.double() for name, tensor in block.items()}
    expected = plain_batch(x.double(), wide_block, [0, 1], window)
    index = torch.tensor([0, 1], dtype=torch.int32, device=device)
    y = naf_block(x, BlockWeights.fold(block, torch.float32), index, window)
    assert (y.double() - expected).norm() / expected.norm() < 5e-6


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("routing", "layout", "channels"),
    [
        pytest.param("identical", "nhwc", CHANNELS, marks=full),
        pytest.param("distinct", "channels_last", CHANNELS, marks=full),
        ("skewed", "strided", 72),
    ],
)
def test_block(routing, layout, channels, dtype, device, routed):
    """72 channels of float32 are too many for the feed-forward half in one launch."""
    block = {name: tensor.to(device) for name, tensor in block_tensors(channels).items()}
    index = INDEX[routing]
    x = torch.randn(len(index), 9, 11, channels, device=device).to(dtype)
    expected = plain_batch(x.double(), {name: tensor.double() for name, tensor in block.items()}, index)
    if layout == "channels_last":
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
    elif layout == "strided":
        x = torch.stack([x, x], dim=-1)[..., 0]
    y = naf_block(x, BlockWeights.fold(block, dtype), routed(index))
    error = (y.double() - expected).norm() / expected.norm()
    assert error < {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("routing", "window"),
    [
        pytest.param("identical", None, marks=full),
        pytest.param("distinct", None, marks=full),
        ("skewed", None),
        pytest.param("skewed", (5, 4), marks=full),
    ],
)
def test_gradients(routing, window, dtype, device):
    """Of the image and of every tensor of the block; a set without an image gets zeros."""
    block = {name: tensor.to(device).requires_grad_() for name, tensor in block_tensors(CHANNELS).items()}
    wide_block = {name: tensor.detach().double().requires_grad_() for name, tensor in block.items()}
    index = INDEX[routing]
    x = torch.randn(len(index), 9, 11, CHANNELS, device=device).to(dtype).requires_grad_()
    wide_x = x.detach().double().requires_grad_()
    grad = torch.randn_like(x)
    y = naf_block(x, BlockWeights.fold(block, dtype), torch.tensor(index, dtype=torch.int32, device=device), window)
    gradients = torch.autograd.grad(y, [x, *block.values()], grad)
    expected = plain_batch(wide_x, wide_block, index, window)
    wanted = torch.autograd.grad(expected, [wide_x, *wide_block.values()], grad.double())
    limit = {torch.float32: 5e-6, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    errors = {
        name: ((got.double() - want).norm() / want.norm()).item()
        for name, got, want in zip(["x", *block], gradients, wanted, strict=True)
    }
    assert {name: error for name, error in errors.items() if not error < limit} == {}


def test_the_block_exports_with_free_sizes():
    weights = BlockWeights.fold(block_tensors(8), torch.float32)

    class Block(nn.Module):
        def forward(self, x, index):
            return naf_block(x, weights, index)

    free = torch.export.Dim.DYNAMIC
    example = (torch.randn(2, 6, 5, 8), torch.tensor([0, 1], dtype=torch.int32))
    program = torch.export.export(Block(), example, dynamic_shapes=({0: free, 1: free, 2: free}, {0: free}))
    x, index = torch.randn(3, 4, 7, 8), torch.tensor([2, 0, 1], dtype=torch.int32)
    assert torch.equal(program.module()(x, index), naf_block(x, weights, index))


@pytest.mark.filterwarnings("error:Dynamo")
def test_the_block_and_its_gradient_compile_as_one_graph():
    weights, index = BlockWeights.fold(block_tensors(8), torch.float32), torch.tensor([2, 0], dtype=torch.int32)
    x = torch.randn(2, 6, 5, 8, requires_grad=True)

    def block(x):
        return naf_block(x, weights, index)

    y, expected = torch.compile(block, backend="aot_eager", fullgraph=True)(x), block(x)
    assert torch.equal(y, expected)
    assert torch.equal(*(torch.autograd.grad(result.square().sum(), x)[0] for result in (y, expected)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no NVIDIA GPU")
def test_one_cuda_graph_serves_every_routing():
    block = {name: tensor.cuda() for name, tensor in block_tensors(64).items()}
    weights = BlockWeights.fold(block, torch.float16)
    x = torch.randn(2, 32, 32, 64, device="cuda", dtype=torch.float16)
    index = torch.tensor([0, 1], dtype=torch.int32, device="cuda")
    naf_block(x, weights, index)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = naf_block(x, weights, index)
    for routing in ([0, 1], [2, 2], [1, 0]):
        index.copy_(torch.tensor(routing, dtype=torch.int32))
        graph.replay()
        assert torch.equal(captured, naf_block(x, weights, index.clone()))
