"""A published-format pair converts, and computes what the published code computes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lorair_export.bench.published import PublishedRestorer, published_params
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lorair.checkpoints import convert, load, model_of, write_checkpoint
from lorair.errors import CheckpointError
from lorair.model.experts import gates_from_logits
from lorair.model.router import CLIP_MEAN, CLIP_STD


def hugging_face_tower(width=128, heads=2, image_size=28, patch=7, embed=24):
    torch.manual_seed(3)
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=width, intermediate_size=3 * width, num_hidden_layers=2, num_attention_heads=heads,
            image_size=image_size, patch_size=patch, projection_dim=embed, hidden_act="quick_gelu",
        )
    ).eval()  # fmt: skip


@pytest.fixture
def pair(tmp_path, make_model, small_config):
    """Files in the published format, with the modules that compute them."""
    tower = hugging_face_tower()
    restorer = replace(small_config.restorer, local_window=None)
    config = replace(
        small_config,
        restorer=restorer,
        router=replace(small_config.router, tower=replace(small_config.router.tower, embed_dim=24)),
    )
    model = make_model(config=config)
    linear = torch.nn.ModuleDict({
        "de_extractor": torch.nn.Sequential(
            torch.nn.Linear(48, 24), torch.nn.GELU(), torch.nn.Linear(24, 12), torch.nn.GELU()
        ),
        "cls_head": torch.nn.Linear(12, 4),
    })  # fmt: skip
    params = published_params(model.restorer.net)
    router = {f"clip_model.vision_tower.{name}": tensor for name, tensor in tower.state_dict().items()}
    torch.save({"params": params}, tmp_path / "ir.pth")
    torch.save({"params": router | linear.state_dict()}, tmp_path / "router.pth")
    return tmp_path, tower, linear, params


def published_router(tower, linear, pixels, size=28):
    """Five views by Pillow, the tower by transformers."""

    def view(image):
        return (
            torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255 - torch.tensor(CLIP_MEAN)[:, None, None]
        ) / torch.tensor(CLIP_STD)[:, None, None]

    def resize(side):
        return (
            Image.fromarray(pixels)
            .resize((side, len(pixels)), Image.Resampling.BICUBIC)
            .resize((side, side), Image.Resampling.BICUBIC)
        )

    quarters = [resize(2 * size).crop((j, i, j + size, i + size)) for i in (0, size) for j in (0, size)]
    with torch.no_grad():
        embedded = tower(torch.stack([view(resize(size)), *map(view, quarters)])).image_embeds
        prior = linear["de_extractor"](torch.cat([embedded[0], embedded[1:].mean(0)]))
        return linear["cls_head"](prior), prior


def test_router_equals_the_published_computation(pair):
    folder, tower, linear, _ = pair
    model = model_of(convert(folder / "ir.pth", folder / "router.pth"))
    for seed, size in enumerate([(90, 120), (200, 64), (31, 33)]):
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        pixels = np.asarray(Image.fromarray(pixels[::8, ::8]).resize(size[::-1], Image.Resampling.BICUBIC))
        gate_logits, prior = published_router(tower, linear, pixels)
        with torch.no_grad():
            routing = model.route(torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None])
        torch.testing.assert_close(routing.gate_logits[0], gate_logits, rtol=0, atol=1e-5)
        torch.testing.assert_close(routing.prior[0], prior, rtol=0, atol=1e-5)


@pytest.mark.parametrize("top_k", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 4])
def test_restorer_equals_the_published_computation(pair, top_k, batch):
    folder, _, _, params = pair
    model = model_of(convert(folder / "ir.pth", folder / "router.pth", top_k=top_k, local_window=None))
    torch.manual_seed(1)
    images, prior, gate_logits = torch.rand(batch, 3, 50, 61), torch.randn(batch, 12), torch.randn(batch, 4)
    with torch.no_grad():
        expected = PublishedRestorer(params, model.config.restorer, top_k)(images, prior, gate_logits)
        restored = model.restorer(images, prior, gates_from_logits(gate_logits, top_k))
    torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)


def test_sizes_are_read_from_the_shapes(pair, small_config):
    folder, *_ = pair
    config = convert(
        folder / "ir.pth", folder / "router.pth", degradations=("a", "b", "c", "d"), local_window=48
    ).config
    assert config.restorer == small_config.restorer
    tower = config.router.tower
    assert (tower.image_size, tower.patch_size, tower.width, tower.layers, tower.embed_dim) == (
        28,
        7,
        128,
        2,
        24,
    )
    assert (tower.heads, tower.mlp_ratio) == (2, 3.0)


def test_converted_checkpoint_round_trips(pair):
    folder, *_ = pair
    checkpoint = convert(folder / "ir.pth", folder / "router.pth")
    write_checkpoint(folder / "best.pt", checkpoint)
    images = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        assert torch.equal(load(folder / "best.pt", device="cpu")(images), model_of(checkpoint)(images))


def test_foreign_files_are_named(pair, tmp_path):
    folder, *_ = pair
    torch.save({"state": {}}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other\.pth: not a published checkpoint"):
        convert(tmp_path / "other.pth", folder / "router.pth")
    with pytest.raises(CheckpointError, match="not a published pair"):
        convert(folder / "router.pth", folder / "ir.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        convert(tmp_path / "absent.pth", folder / "router.pth")
    with pytest.raises(ValueError, match="4 classes; got 2"):
        convert(folder / "ir.pth", folder / "router.pth", degradations=("a", "b"))


def test_names_are_the_published_ones(pair):
    *_, params = pair
    factors = ("lora_A_list", "lora_B_list")
    convs = [
        "intro",
        "ending",
        "intro_de.0",
        "intro_de.2",
        "downs.1",
        "encoders.1.conv4",
        "encoders.1.blocks.1.sca.1",
    ]
    convs += ["middle_blks.conv1", "middle_blks.blocks.0.conv5", "decoders.0.blocks.0.conv2"]
    expected = {f"{conv}.{kind}" for conv in convs for kind in ("conv.weight", "conv.bias", *factors)}
    expected |= {f"ups.0.0.{kind}" for kind in ("conv.weight", *factors)}
    expected |= {
        "encoders.0.beta",
        "encoders.0.norm.weight",
        "middle_blks.norm.bias",
        "decoders.1.blocks.0.gamma",
    }
    assert expected <= set(params)
    assert "ups.0.0.conv.bias" not in params
    assert params["encoders.0.beta"].shape == (1, 16, 1, 1)
