"""The tower against open_clip's vision transformer."""

import open_clip.transformer
import pytest
import torch
from torch import nn

from lorair.model.config import TowerConfig
from lorair.model.tower import Tower


@pytest.fixture(params=[True, False], ids=["QuickGELU", "GELU"])
def config(request):
    return TowerConfig(
        image_size=28, patch_size=7, width=48, layers=3, head_width=16, embed_dim=20, quick_gelu=request.param
    )


@pytest.fixture
def theirs(config):
    torch.manual_seed(0)
    act = open_clip.transformer.QuickGELU if config.quick_gelu else nn.GELU
    sizes = {"image_size": 28, "patch_size": 7, "width": 48, "layers": 3, "heads": 3, "mlp_ratio": 4.0}
    tower = open_clip.transformer.VisionTransformer(**sizes, output_dim=20, act_layer=act).double()
    for parameter in tower.parameters():
        nn.init.normal_(parameter, std=0.1)
    return tower


def test_weights_and_embeddings_are_those_of_open_clip(config, theirs):
    ours = Tower(config).double()
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(5, 3, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(ours(pixels), theirs(pixels), rtol=0, atol=1e-12)


def test_gradients_are_those_of_open_clip(config, theirs):
    ours = Tower(config).double()
    ours.load_state_dict(theirs.state_dict())
    pixels = torch.randn(2, 3, 28, 28, dtype=torch.float64)
    for tower in (ours, theirs):
        tower(pixels).square().sum().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-9, atol=1e-12)


def test_a_new_tower_starts_as_open_clips_does(config):
    torch.manual_seed(0)
    ours = Tower(TowerConfig(image_size=28, patch_size=7, width=256, layers=1, head_width=64, embed_dim=128))
    theirs = open_clip.transformer.VisionTransformer(28, 7, 256, 1, 4, 4.0, output_dim=128)
    expected = theirs.state_dict()
    for name, parameter in ours.state_dict().items():
        assert parameter.std(correction=0).item() == pytest.approx(expected[name].std(correction=0).item(), rel=0.1)
        assert parameter.mean().item() == pytest.approx(expected[name].mean().item(), abs=0.01)
