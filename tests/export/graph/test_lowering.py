"""Each lowering against a float64 computation of every image by itself, from the formula alone."""

import pytest
import torch
import torch.nn.functional as F
from lorair_export.graph.low_rank import LowRankConv2d, cheaper_branch, delta_branch, factor_branch
from lorair_export.graph.lowering import (
    RESTORERS,
    StaticAttention,
    lowered_restorer,
)
from lorair_export.graph.plain import plain_restorer
from lorair_export.spec import Lowering, chosen_lowering
from lorair_export.spec.precision import PRECISIONS
from lorair_export.spec.routing_form import RoutingForm

from lorair.model.blocks import ChannelAttention
from lorair.model.experts import ExpertConv2d, gates_from_logits

CONVS = {
    "1x1": {"in_channels": 12, "out_channels": 20, "kernel_size": 1},
    "1x1 to one channel": {"in_channels": 16, "out_channels": 1, "kernel_size": 1},
    "1x1 without bias": {"in_channels": 8, "out_channels": 16, "kernel_size": 1, "bias": False},
    "3x3 of an image": {"in_channels": 3, "out_channels": 32, "kernel_size": 3, "padding": 1},
    "3x3 to an image": {"in_channels": 16, "out_channels": 3, "kernel_size": 3, "padding": 1},
    "2x2 stride 2": {"in_channels": 16, "out_channels": 32, "kernel_size": 2, "stride": 2},
    "depthwise 3x3": {"in_channels": 6, "out_channels": 6, "kernel_size": 3, "padding": 1, "groups": 6},
}
GATES = {
    "hard": torch.tensor([[0, 1, 0], [1, 0, 0], [0, 0, 1]]).float(),
    "soft": torch.tensor([[0.5, 0.3, 0.2], [0, 0.9, 0.1], [0, 0, 0]]),
}


def expert_conv(geometry, experts=3, rank=2, seed=0):
    torch.manual_seed(seed)
    conv = ExpertConv2d(**geometry, experts=experts, rank=rank, scale=1.5)
    torch.nn.init.normal_(conv.b)
    return conv.requires_grad_(False).eval()


def convolved_one_by_one(conv, x, gates):
    """conv2d of each image with W + scale * sum_e g_e view(B_e A_e), in float64."""
    weight, a, b = conv.weight.double(), conv.a.double(), conv.b.double()
    rows = []
    for image, gate in zip(x.double(), gates.double(), strict=True):
        delta = sum(g * (up @ down).view(weight.shape) for g, up, down in zip(gate, b, a, strict=True))
        bias = None if conv.bias is None else conv.bias.double()
        kernel = weight + conv.scale * delta
        rows.append(F.conv2d(image[None], kernel, bias, conv.stride, conv.padding, groups=conv.groups))
    return torch.cat(rows)


@pytest.mark.parametrize("gates", GATES.values(), ids=GATES)
@pytest.mark.parametrize("geometry", CONVS.values(), ids=CONVS)
def test_low_rank_convolution(geometry, gates):
    conv = expert_conv(geometry)
    x = torch.randn(3, conv.in_channels, 10, 14)
    lowered = LowRankConv2d(conv)
    lowered.gates = gates
    with torch.no_grad():
        found = lowered(x).double()
    expected = convolved_one_by_one(conv, x, gates)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-5)
    assert (conv(x) - expected).abs()[:2].max() > 0.1


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("experts", [1, 5])
@pytest.mark.parametrize("form", [delta_branch, factor_branch])
def test_both_branches_of_a_convolution_are_right(form, experts, rank):
    conv = expert_conv(CONVS["2x2 stride 2"], experts, rank)
    x, gates = torch.randn(2, 16, 8, 6), torch.randn(2, experts)
    branch = form(conv)
    hidden = F.conv2d(x, branch.down, stride=2, groups=branch.down_groups) * gates[:, branch.expert_of, None, None]
    found = conv(x) + F.conv2d(hidden, branch.up, groups=branch.up_groups)
    torch.testing.assert_close(found.double(), convolved_one_by_one(conv, x, gates), rtol=1e-5, atol=5e-5)


def test_the_branch_with_fewer_multiplications_is_taken():
    wide, narrow = expert_conv(CONVS["2x2 stride 2"]), expert_conv(CONVS["1x1 to one channel"])
    # Three experts of rank 2: 24 hidden channels of 8 inputs x 4 taps and 32 outputs, or 96 full kernels.
    assert factor_branch(wide).multiplications == 24 * 32 + 24 * 32
    assert delta_branch(wide).multiplications == 96 * 64 + 96
    assert cheaper_branch(wide).down.shape == factor_branch(wide).down.shape
    assert cheaper_branch(narrow).down.shape == delta_branch(narrow).down.shape


@pytest.mark.parametrize("size", [(12, 12), (16, 16), (17, 16), (15, 40), (40, 9), (33, 50)])
def test_attention_without_its_branch(size):
    torch.manual_seed(0)
    attention = ChannelAttention(lambda *shape: torch.nn.Conv2d(*shape), 4, 16)
    x = torch.randn(2, 4, *size)
    with torch.no_grad():
        torch.testing.assert_close(StaticAttention(attention, local=True)(x), attention(x))


@pytest.mark.parametrize("max_size", [40, 64])
@pytest.mark.parametrize(("lowering", "batch"), [(Lowering.MERGED, 1), (Lowering.LOW_RANK, 3)])
def test_lowered_restorer(make_model, lowering, batch, max_size):
    """At most 40 pixels the window of 48 covers the map, and the means are global."""
    model = make_model(top_k=2, seed=3)
    torch.manual_seed(1)
    images, prior = torch.rand(batch, 3, 37, max_size), torch.randn(batch, 8)
    gates = gates_from_logits(torch.randn(batch, 4), 2)
    with torch.no_grad():
        expected = model.restorer(images, prior, gates).clamp(0, 1)
        restored = lowered_restorer(model, lowering, max_size)(images, prior, gates)
    assert (expected - images).abs().mean() > 0.05
    torch.testing.assert_close(restored, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("pinned", [False, True])
def test_plain_restorers_of_each_degradation(make_model, pinned):
    """The modulation of a known prior becomes the affine part of its norm."""
    model = make_model(top_k=2, seed=4)
    images = torch.rand(2, 3, 37, 64)
    for degradation in model.degradations:
        routing = model.pin(degradation, 2)
        with torch.no_grad():
            expected = model.restorer(images, routing.prior, routing.gates).clamp(0, 1)
            restorer = plain_restorer(model, degradation, 64, pinned=pinned)
            restored = restorer(images) if pinned else restorer(images, routing.prior)
        torch.testing.assert_close(restored, expected, rtol=0, atol=5e-6)
    assert not [module for module in restorer.modules() if isinstance(module, ExpertConv2d)]


@pytest.mark.parametrize("lowering", list(RESTORERS))
def test_16_bits_cost_little(make_model, lowering):
    model = make_model()
    images, prior, gates = torch.rand(1, 3, 56, 50), torch.randn(1, 8), torch.tensor([[0, 1.0, 0, 0]])
    inputs = (tensor.half() for tensor in (images, prior, gates))
    with torch.no_grad():
        expected = model.restorer(images, prior, gates).clamp(0, 1)
        restored = lowered_restorer(model, lowering, 256, torch.float16)(*inputs)
    assert restored.dtype == torch.float16
    assert (restored.float() - expected).square().mean() < 10**-6


@pytest.mark.parametrize("lowering", list(RESTORERS))
def test_the_model_stays_as_it_is(make_model, lowering):
    model = make_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    kinds = [type(module) for module in model.modules()]
    lowered_restorer(model, lowering, 256, torch.float16)
    assert [type(module) for module in model.modules()] == kinds
    assert all(parameter.requires_grad for parameter in model.restorer.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_lowering_follows_the_batch_unless_named():
    assert chosen_lowering("auto", 1)[0] is Lowering.MERGED
    assert chosen_lowering("auto", 4)[0] is Lowering.LOW_RANK
    assert chosen_lowering("low-rank", 1)[0] is Lowering.LOW_RANK


@pytest.mark.parametrize("precision", PRECISIONS)
def test_lowering_follows_the_precision_unless_named(precision):
    chosen, reason = chosen_lowering("auto", 1, precision=precision)
    eight_bit = precision in ("int8", "fp8")
    assert chosen is (Lowering.LOW_RANK if eight_bit else Lowering.MERGED)
    assert ("--routing experts" in reason and precision in reason) == eight_bit
    assert chosen_lowering("auto", 1, RoutingForm.EXPERTS, precision)[0] is Lowering.PLAIN
