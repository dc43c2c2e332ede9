"""Checkpoints round-trip, describe themselves, and bad files are rejected without running anything."""

import json
import pickle
from dataclasses import replace

import open_clip
import pytest
import torch

from lorair.checkpoints import (
    Checkpoint,
    checkpoint_of,
    checkpoint_of_clip,
    describe_checkpoint,
    load,
    model_of,
    read_checkpoint,
    refer_to_clip,
    write_checkpoint,
)
from lorair.errors import CheckpointError
from lorair.model.config import PRESETS, config_from_dict, config_to_dict


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_round_trip(make_model, tmp_path, suffix):
    model = make_model(top_k=2)
    path = tmp_path / f"best{suffix}"
    write_checkpoint(path, checkpoint_of(model, training={"steps": 7, "psnr": {"rain": 30.5}}))
    read = read_checkpoint(path)
    assert read.config == model.config
    assert read.training == {"steps": 7, "psnr": {"rain": 30.5}}
    images = torch.rand(2, 3, 30, 41)
    with torch.no_grad():
        assert torch.equal(load(path, device="cpu")(images), model(images))
        assert torch.equal(load(path, device="cpu")(images, "haze"), model(images, "haze"))


def test_half_precision_storage_halves_the_file(make_model, tmp_path):
    checkpoint = checkpoint_of(make_model())
    write_checkpoint(tmp_path / "full.safetensors", checkpoint)
    write_checkpoint(tmp_path / "half.safetensors", checkpoint, torch.float16)
    sizes = [(tmp_path / name).stat().st_size for name in ("full.safetensors", "half.safetensors")]
    assert sizes[1] < 0.6 * sizes[0]
    for name, tensor in read_checkpoint(tmp_path / "half.safetensors").state.items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, checkpoint.state[name].half().float(), rtol=0, atol=0)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("wrap", [lambda bad: bad, lambda bad: {"format": bad}, lambda bad: {"params": {"x": bad}}])
def test_code_is_never_run(tmp_path, wrap):
    torch.save(wrap(Malicious(tmp_path / "ran")), tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"bad\.pt: rejected: it holds more than tensors"):
        read_checkpoint(tmp_path / "bad.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "ran")))
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "old.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 2000, 0.5, 0.99])
def test_truncated_files(make_model, tmp_path, suffix, kept):
    path = tmp_path / f"best{suffix}"
    write_checkpoint(path, checkpoint_of(make_model()))
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(CheckpointError, match="cut short"):
        read_checkpoint(path)


def test_foreign_newer_and_damaged_files(make_model, tmp_path):
    path = tmp_path / "best.pt"
    torch.save({"params": {}}, path)
    with pytest.raises(CheckpointError, match=r"not a lorair checkpoint.*lorair convert"):
        read_checkpoint(path)
    torch.save(torch.ones(3), path)
    with pytest.raises(CheckpointError, match="not a lorair checkpoint"):
        read_checkpoint(path)
    write_checkpoint(path, checkpoint_of(make_model()))
    plain = torch.load(path, weights_only=True)
    torch.save({**plain, "format_version": 2}, path)
    with pytest.raises(CheckpointError, match="format 2, this lorair reads 1; upgrade"):
        read_checkpoint(path)
    torch.save({**plain, "config": {**plain["config"], "surprise": 1}}, path)
    with pytest.raises(CheckpointError, match=r"unknown fields \['surprise'\]"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "absent.pt")


def test_weights_that_do_not_fit(make_model):
    checkpoint = checkpoint_of(make_model())
    state = {name: tensor for name, tensor in checkpoint.state.items() if name != "router.head.bias"}
    with pytest.raises(CheckpointError, match=r"do not fit.*router\.head\.bias"):
        model_of(Checkpoint(config=checkpoint.config, state=state))


def test_an_interrupted_write_leaves_the_old_file(make_model, tmp_path, monkeypatch):
    path = tmp_path / "best.pt"
    path.write_bytes(b"old")

    def broken(_data, aside):
        with open(aside, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(OSError, match="disk full"):
        write_checkpoint(path, checkpoint_of(make_model()))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_router_starts_from_clip_weights(small_config, tmp_path, monkeypatch):
    vision = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    clip = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (tmp_path / "ViT-test.json").write_text(json.dumps(clip))
    open_clip.add_model_config(tmp_path)
    model = open_clip.create_model("ViT-test")
    torch.save(model.state_dict(), tmp_path / "clip.pt")
    tower = checkpoint_of_clip(small_config, f"ViT-test/{tmp_path / 'clip.pt'}").state
    for name, tensor in model.visual.state_dict().items():
        assert torch.equal(tower[f"router.tower.{name}"], tensor)
    other = replace(small_config, router=replace(small_config.router, tower=PRESETS["tiny"].router.tower))
    with pytest.raises(CheckpointError, match="does not fit the model's tower"):
        checkpoint_of_clip(other, f"ViT-test/{tmp_path / 'clip.pt'}")
    with pytest.raises(CheckpointError, match="open_clip could not load ViT-test with absent"):
        checkpoint_of_clip(small_config, "ViT-test/absent")
    with pytest.raises(ValueError, match="MODEL/TAG or MODEL/FILE"):
        checkpoint_of_clip(small_config, "openai")


def test_clip_weights_by_reference(make_model, tmp_path, monkeypatch):
    model = make_model()
    images = torch.rand(1, 3, 40, 40)
    torch.save(model.router.tower.state_dict(), tmp_path / "clip.pt")
    asked = []

    def create_model(name, pretrained):
        asked.append((name, pretrained))
        other = make_model(seed=1)
        weights = torch.load(tmp_path / "clip.pt", weights_only=True)
        other.router.tower.load_state_dict(weights)
        return torch.nn.ModuleDict({"visual": other.router.tower})

    monkeypatch.setattr(
        open_clip,
        "create_model",
        lambda name, pretrained: type("Clip", (), {"visual": create_model(name, pretrained)["visual"]}),
    )
    checkpoint = refer_to_clip(checkpoint_of(model), "ViT-test/openai")
    assert not any(name.startswith("router.tower.") for name in checkpoint.state)
    write_checkpoint(tmp_path / "best.pt", checkpoint)
    loaded = load(tmp_path / "best.pt", device="cpu")
    assert asked == [("ViT-test", "openai")]
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))
    torch.save({name: tensor + 1 for name, tensor in model.router.tower.state_dict().items()}, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match="not the ones this checkpoint was trained with"):
        load(tmp_path / "best.pt", device="cpu")


def test_a_checkpoint_describes_itself(make_model, tmp_path):
    model = make_model()
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(model, training={"seed": 3}))
    facts = describe_checkpoint(tmp_path / "best.pt")
    assert facts.degradations == ("noise", "rain", "haze", "snow")
    assert (facts.training, facts.clip, facts.accepts_degradation, facts.size_multiple) == ({"seed": 3}, None, True, 4)
    counts = facts.parameters
    experts = [p.numel() for name, p in model.named_parameters() if name.rsplit(".")[-1] in ("a", "b")]
    assert counts.experts == sum(experts)
    assert counts.router == sum(p.numel() for p in model.router.parameters())
    assert counts.restorer == sum(p.numel() for p in model.restorer.parameters()) - sum(experts)


def test_configuration_errors_say_where(small_config):
    data = config_to_dict(small_config)
    assert config_from_dict(data) == small_config
    with pytest.raises(ValueError, match=r"config\.router\.tower\.width must be int; got 'wide'"):
        config_from_dict({**data, "router": {**data["router"], "tower": {**data["router"]["tower"], "width": "wide"}}})
    with pytest.raises(ValueError, match=r"top_k must lie in 1\.\.4"):
        config_from_dict({**data, "router": {**data["router"], "top_k": 5}})
    with pytest.raises(ValueError, match="distinct names"):
        config_from_dict({**data, "degradations": ["rain", "rain"]})
