"""A stage's steps: what they change, and that an interruption changes nothing."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lorair.data import Batch, Batches
from lorair.errors import TrainingError
from lorair.model import ExpertConv2d, LoRAIR, ModelConfig
from lorair.training import StageRecipe
from lorair.training.stages import STAGES


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_only_its_own_parameters(name, make_model, train_stage, brief) -> None:
    model = make_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    finetuned = {"trained": "experts", "gates": "router"} if name == "finetune" else {}
    train_stage(model, STAGES[name], replace(brief, steps=2, **finetuned))
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    factors = {
        f"restorer.{path}.{factor}"
        for path, module in model.restorer.named_modules()
        if isinstance(module, ExpertConv2d)
        for factor in ("a", "b")
    }
    restorer = {key for key in before if key.startswith("restorer.")}
    allowed = {"router": set(before) - restorer, "pretrain": restorer - factors, "finetune": factors}[name]
    assert changed <= allowed
    assert len(changed) > 0.8 * len(allowed) - 1


def test_a_frozen_tower_stays(make_model, train_stage, brief) -> None:
    model = make_model()
    tower = {key: value.clone() for key, value in model.router.tower.state_dict().items()}
    head = model.router.head.weight.clone()
    train_stage(model, STAGES["router"], replace(brief, steps=2, trained="head"))
    assert all(torch.equal(value, tower[key]) for key, value in model.router.tower.state_dict().items())
    assert not torch.equal(model.router.head.weight, head)


class Darkened(Batches):
    """Gray images, darker the larger their label: easy to restore, and to know apart."""

    def plan(self, rng, labels):
        return [0] * len(labels), (24, 24)

    def pair(self, item, label, height, width, rng):
        clean = np.full((height, width, 3), rng.uniform(0.8, 1), np.float32)
        return clean * np.float32(1 - 0.25 * label), clean


@pytest.mark.parametrize("name", STAGES)
def test_the_loss_falls(name, small_config: ModelConfig, train_stage, brief) -> None:
    torch.manual_seed(0)
    model = LoRAIR(small_config)
    recipe = replace(brief, steps=20, validate_every=20, gates="router" if name == "finetune" else "none")
    data = Darkened(len(small_config.degradations), recipe.batch_size, recipe.steps, seed=0)

    def loss() -> float:
        with torch.no_grad():
            return sum(STAGES[name].loss(model, data[step], recipe).item() for step in range(3))

    before = loss()
    train_stage(model, STAGES[name], recipe, data=data)
    assert loss() < before - 0.3


@pytest.mark.parametrize("precision, ema", [("fp32", None), ("bf16", 0.5), ("fp16", None)])
def test_resuming_gives_the_uninterrupted_weights(make_model, train_stage, brief, precision, ema) -> None:
    recipe = replace(brief, precision=precision, ema=ema)
    stage = STAGES["pretrain"]
    whole, parts = make_model(), make_model()
    train_stage(whole, stage, recipe, folder="whole")

    calls = 0

    def interrupted(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return stage.loss(model, batch, recipe)

    with pytest.raises(KeyboardInterrupt):
        train_stage(parts, replace(stage, loss=interrupted), recipe, folder="parts")
    parts = make_model(seed=1)
    train_stage(parts, stage, recipe, folder="parts")
    other = parts.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.state_dict().items())


def test_what_is_kept_is_the_average_of_the_weights(make_model, train_stage, brief, tmp_path: Path) -> None:
    plain = replace(brief, steps=3, validate_every=1)
    kept = {}
    for ema in (None, 0.75):
        model, recipe = make_model(), replace(plain, ema=ema)
        kept[ema] = train_stage(model, STAGES["pretrain"], recipe, itertools.count(), folder=str(ema))
        assert len(kept[ema]) == 3 and (kept[ema][-1] is model) == (ema is None)
    paths = sorted((tmp_path / "None").iterdir())
    first, *later = (torch.load(path, weights_only=True)["model"]["restorer.net.intro.weight"] for path in paths)
    for weight in later:
        first = 0.75 * first + 0.25 * weight
    torch.testing.assert_close(kept[0.75][-1].restorer.net.intro.weight, first)


@pytest.mark.parametrize("name", ["router", pytest.param("pretrain", marks=pytest.mark.full), "finetune"])
def test_compiled_training_is_the_same(name, make_model, train_stage, brief, small_config, monkeypatch) -> None:
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_(self, backend="aot_eager"))  # quick
    recipe = replace(brief, steps=2, gates="router" if name == "finetune" else "none")
    shallow = replace(small_config.restorer, encoder_blocks=(1,), decoder_blocks=(1,))
    plain, compiled = (make_model(config=replace(small_config, restorer=shallow)) for _ in range(2))
    train_stage(plain, STAGES[name], recipe, folder="plain")
    train_stage(compiled, STAGES[name], recipe, compiled=True, folder="compiled")
    other = compiled.state_dict()
    for key, value in plain.state_dict().items():
        if not key.endswith("attn.in_proj_bias"):  # a key's bias has no gradient but rounding
            torch.testing.assert_close(other[key], value, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_not_finite_names_its_batch(make_model, train_stage, states_of, brief, tmp_path: Path) -> None:
    calls = 0

    def poisoned(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
        nonlocal calls
        calls += 1
        return STAGES["router"].loss(model, batch, recipe) * (math.nan if calls == 4 else 1)

    with pytest.raises(TrainingError, match=r"stage router is nan at step 3 \(batch 3, .*snow"):
        train_stage(make_model(), replace(STAGES["router"], loss=poisoned), brief)
    newest = states_of(tmp_path / "state", STAGES["router"], brief).newest()
    assert newest is not None and newest["step"] == 2


def test_only_the_best_model_is_kept(make_model, train_stage, brief) -> None:
    assert len(train_stage(make_model(), STAGES["router"], brief, scores=[3.0, 2.0, 4.0])) == 2


def test_a_state_of_another_recipe_is_rejected(make_model, train_stage, brief) -> None:
    model = make_model()
    train_stage(model, STAGES["router"], brief)
    with pytest.raises(TrainingError, match="another recipe or seed"):
        train_stage(model, STAGES["router"], replace(brief, learning_rate=1.0))


def test_the_newest_states_stay_and_a_damaged_one_is_named(states_of, brief, tmp_path: Path) -> None:
    states = replace(states_of(tmp_path, STAGES["router"], brief), keep=2)
    for step in (2, 4, 10):
        states.write({"step": step, "model": {"weights": torch.full((3,), float(step))}})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["router-00000004.state", "router-00000010.state"]
    newest = states.newest()
    assert newest is not None and newest["step"] == 10
    assert torch.equal(newest["model"]["weights"], torch.full((3,), 10.0))
    (tmp_path / "router-00000010.state").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"router-00000010\.state is damaged .*: remove it"):
        states.newest()
