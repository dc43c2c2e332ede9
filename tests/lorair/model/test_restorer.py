"""The restorer against the published computation, and its merged weights."""

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from lorair_export.bench.published import PublishedRestorer, published_params

from lorair.model.blocks import ChannelAttention
from lorair.model.experts import ExpertConv2d, gates_from_logits
from lorair.model.restorer import Restorer


def published(model, top_k):
    """The published form in float64."""
    params = {name: tensor.double() for name, tensor in published_params(model.restorer.net).items()}
    return PublishedRestorer(params, model.config.restorer, top_k).double()


FEW = [
    *(((39, 46), batch, training, 1) for batch in (1, 4) for training in (False, True)),  # under the window of 48
    *(((40, 77), 4, False, 2), ((40, 77), 1, True, 3), ((81, 94), 1, False, 1)),  # across it, beyond
]
ALL = product([(39, 46), (40, 77), (81, 94)], [1, 4], [False, True], [1, 2, 3])


@pytest.mark.parametrize(
    ("size", "batch", "training", "top_k"),
    [*FEW, *(pytest.param(*case, marks=pytest.mark.full) for case in ALL if case not in FEW)],
)
def test_equals_the_published_computation(make_model, top_k, batch, training, size):
    model = make_model(top_k)
    images, prior, gate_logits = torch.rand(batch, 3, *size), torch.randn(batch, 8), torch.randn(batch, 4)
    with torch.no_grad():
        expected = published(model, top_k)(images.double(), prior.double(), gate_logits.double())
        restored = model.train(training).restorer(images, prior, gates_from_logits(gate_logits, top_k))
    assert (restored - images).abs().mean() > 0.05
    torch.testing.assert_close(restored.double(), expected, rtol=0, atol=1e-5)


def test_an_image_is_restored_equally_by_itself_and_in_a_mixed_batch(make_model):
    model = make_model(top_k=2)
    images, prior = torch.rand(5, 3, 32, 48), torch.randn(5, 8)
    gates = gates_from_logits(torch.randn(5, 4), 2)
    gates[3] = gates[1]
    with torch.no_grad():
        batch = model.restorer(images, prior, gates)
        for i in range(5):
            alone = model.restorer(images[i : i + 1], prior[i : i + 1], gates[i : i + 1])
            torch.testing.assert_close(batch[i : i + 1], alone, rtol=0, atol=1e-6)


def test_zero_gates_are_the_plain_network(make_model):
    model = make_model()
    images, prior = torch.rand(2, 3, 32, 32), torch.randn(2, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            model.restorer(images, prior, torch.zeros(2, 4)),
            model.restorer.net(images, prior),
            rtol=0,
            atol=1e-6,
        )


def test_gradients_reach_weights_and_factors_as_in_the_published_form(make_model):
    model = make_model(top_k=2).double()
    images, prior, gate_logits = (
        torch.rand(3, 3, 16, 16).double(),
        torch.randn(3, 8).double(),
        torch.randn(3, 4).double(),
    )
    params = {
        name: tensor.detach().clone().requires_grad_() for name, tensor in published_params(model.restorer.net).items()
    }
    baseline = PublishedRestorer(params, model.config.restorer, 2).double()
    baseline(images, prior, gate_logits).square().sum().backward()
    model.restorer(images, prior, gates_from_logits(gate_logits, 2)).square().sum().backward()
    name = "encoders.1.blocks.0.conv2"
    conv = model.restorer.net.get_submodule(name)
    torch.testing.assert_close(conv.a.grad, params[f"{name}.lora_A_list"].grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(conv.b.grad, params[f"{name}.lora_B_list"].grad, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(conv.weight.grad, baseline.convs[name.replace(".", "/")].conv.weight.grad)


def test_gates_that_are_learnt_get_each_image_its_own_gradient(make_model):
    model = make_model()
    images, prior = torch.rand(2, 3, 16, 16), torch.randn(2, 8)
    gates = torch.tensor([[0.5, 0.5, 0, 0]] * 2, requires_grad=True)
    model.restorer(images, prior, gates).square().sum().backward()
    for i in range(2):
        alone = gates[i : i + 1].detach().requires_grad_()
        model.restorer(images[i : i + 1], prior[i : i + 1], alone).square().sum().backward()
        torch.testing.assert_close(gates.grad[i : i + 1], alone.grad, rtol=1e-3, atol=1e-4)


def test_merged_weights_are_kept_until_a_weight_changes(make_model, monkeypatch):
    model = make_model()
    merges = []
    merge = ExpertConv2d.merged_weight
    monkeypatch.setattr(ExpertConv2d, "merged_weight", lambda conv, gates: merges.append(1) or merge(conv, gates))
    convs = sum(isinstance(module, ExpertConv2d) for module in model.modules())
    images, prior, gates = torch.rand(4, 3, 16, 16), torch.randn(4, 8), torch.eye(4)[[0, 1, 0, 1]]
    with torch.no_grad():
        before = model.restorer(images, prior, gates)
        model.restorer(images, prior, gates)
        assert len(merges) == 2 * convs
        model.restorer.net.middle.blocks[0].conv1.b.mul_(2)
        after = model.restorer(images, prior, gates)
        assert len(merges) == 4 * convs
        assert not torch.equal(before, after)
        model.restorer(images, prior, torch.eye(4))
        assert len(model.restorer._merged) <= model.restorer.cache_size


def test_full_size_has_248_convolutions_with_experts(presets):
    config = presets["lorair-64"]
    with torch.device("meta"):
        restorer = Restorer(config.restorer, config.router.prior_dim, 3)
    experts = [p.numel() for name, p in restorer.named_parameters() if name.endswith((".a", ".b"))]
    assert len(experts) == 2 * 248
    assert sum(experts) == 12_786_864
    assert sum(p.numel() for p in restorer.parameters()) - sum(experts) == 68_869_503


def test_decoder_modulation_is_a_flag(small_config):
    config = replace(small_config.restorer, decoder_modulation=True)
    restorer = Restorer(config, prior_dim=8, experts=2)
    plain = Restorer(small_config.restorer, prior_dim=8, experts=2)
    added = {name for name, _ in restorer.named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert added and all(".modulation." in name and "decoders" in name for name in added)


@pytest.mark.parametrize("size", [(5, 5), (9, 14), (13, 4)])
@pytest.mark.parametrize("window", [4, 5, 64, None])
def test_channel_attention_pools_as_tlsc(size, window):
    torch.manual_seed(0)
    attention = ChannelAttention(lambda i, o, k: torch.nn.Conv2d(i, o, k), 3, window).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    height, width = size
    kh, kw = (min(window or 10**6, side) for side in size)
    means = torch.empty_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (kh - 1) // 2, 0), height - kh)
            left = min(max(j - (kw - 1) // 2, 0), width - kw)
            means[:, :, i, j] = x[:, :, top : top + kh, left : left + kw].mean((-2, -1))
    expected = x * F.conv2d(means, attention.conv.weight, attention.conv.bias)
    torch.testing.assert_close(attention(x), expected)
