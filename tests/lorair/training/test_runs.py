"""Whole runs in this process: what they leave, what they build on, and the public call."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorair.checkpoints import checkpoint_of, read_checkpoint
from lorair.errors import TrainingError
from lorair.model import PRESETS, ModelConfig, config_to_dict
from lorair.training import RECIPES, Photographs, RecipeChanges, train


def test_a_run_leaves_a_checkpoint_that_records_its_history(make_run, quiet, small_config: ModelConfig) -> None:
    best = make_run().train(("router", "pretrain", "finetune"), quiet)
    checkpoint = read_checkpoint(best)
    assert checkpoint.config == small_config
    assert checkpoint.mean_priors is not None and checkpoint.mean_priors.shape == (4, small_config.router.prior_dim)
    history = checkpoint.training
    assert history["photographs"] == 2 and list(history["stages"]) == ["router", "pretrain", "finetune"]
    assert history["stages"]["finetune"]["recipe"]["steps"] == 2
    assert set(history["stages"]["finetune"]["validation"]["rain"]) == {
        "input_psnr", "plain_psnr", "expert_psnr", "accuracy",
    }  # fmt: skip
    [call] = json.loads((best.parent / "run.json").read_text())
    assert (call["seed"], call["processes"], call["config"]) == (0, 1, config_to_dict(small_config))
    assert call["recipe"]["pretrain"]["learning_rate"] == 2e-3 and call["machine"]["versions"]["torch"]
    modified = best.stat().st_mtime_ns
    make_run().train(("router", "pretrain", "finetune"), quiet)
    again = read_checkpoint(best)
    assert best.stat().st_mtime_ns == modified
    assert all(torch.equal(tensor, again.state[name]) for name, tensor in checkpoint.state.items())


def test_tensorboard_shows_losses_scores_and_images(make_run, quiet, brief) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    brief = replace(brief, steps=20, validate_every=10)
    recipe = {"router": replace(brief, steps=2), "pretrain": brief}
    best = make_run(recipe=recipe).train(("router", "pretrain"), quiet)
    record = EventAccumulator(str(best.parent / "tensorboard" / "pretrain")).Reload()
    scores = record.Scalars("validation/rain")
    assert [score.step for score in scores] == [10, 20]
    assert read_checkpoint(best).training["stages"]["pretrain"]["validation"]["rain"]["plain_psnr"] == pytest.approx(
        max(score.value for score in scores), abs=0.5
    )
    assert {"training/loss", "training/learning rate", "training/images per second"} <= set(record.Tags()["scalars"])
    image = record.Images("degraded, restored, clean")[-1]
    rows, margin = 6, 2
    assert (image.height, image.width) == (rows * (48 + margin) + margin, 3 * (64 + margin) + margin)


def test_a_stage_needs_the_one_before(make_run, quiet) -> None:
    with pytest.raises(TrainingError, match=r"stage finetune builds on .*pretrain\.pt, which is missing"):
        make_run().train(("finetune",), quiet)


def test_a_run_may_start_from_the_tower_of_a_model_with_other_experts(
    make_run, make_model, small_config, quiet
) -> None:
    other = make_model(config=replace(small_config, degradations=("blur", "dusk")))
    frozen = {name: replace(stage, trained="head") for name, stage in make_run().recipe.items()}
    make_run(start=checkpoint_of(other), recipe=frozen).train(("router",), quiet)
    state = read_checkpoint(make_run().folder / "router.pt").state
    tower = other.router.tower.state_dict()
    assert all(torch.equal(state[f"router.tower.{name}"], value) for name, value in tower.items())
    with pytest.raises(TrainingError, match="experts or sizes"):
        make_run(start=checkpoint_of(other), folder=make_run().folder / "new").train(("pretrain",), quiet)


def test_a_frozen_tower_needs_trained_weights(make_run, quiet) -> None:
    with pytest.raises(TrainingError, match="--start"):
        make_run(recipe=RECIPES["published"]).train(("router",), quiet)


def test_one_call_trains_photographs_and_resumes(
    small_config, brief, photograph_folder: Path, monkeypatch, tmp_path
) -> None:
    monkeypatch.setitem(PRESETS, "small", small_config)
    monkeypatch.setitem(RECIPES, "brief", dict.fromkeys(("router", "pretrain", "finetune"), brief))
    data = Photographs.open(photograph_folder, photograph_folder, ("jpeg", "blur"))
    arguments = {"preset": "small", "recipe": "brief", "device": "cpu", "workers": 0}
    best = train(tmp_path, data, ("router",), changes=RecipeChanges(router_steps=2), **arguments)
    assert best == tmp_path / "best.pt" and read_checkpoint(best).config.degradations == ("jpeg", "blur")
    train(tmp_path, data, ("pretrain",), changes=RecipeChanges(pretrain_steps=2), **arguments)
    assert list(read_checkpoint(best).training["stages"]) == ["router", "pretrain"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "huge"}, "unknown preset 'huge'; choose one of lorair-64, tiny"),
        ({"recipe": "slow"}, "unknown recipe 'slow'; choose one of published, tiny"),
        ({"start": "a.pt", "clip": "ViT-B-32/openai"}, "--clip applies to the router stage"),
        ({"stages": ("finetune",), "clip": "ViT-B-32/openai"}, "--clip applies to the router stage"),
    ],
)
def test_wrong_arguments_are_rejected(photographs, tmp_path: Path, arguments, message) -> None:
    data = Photographs(photographs, photographs, ("noise",))
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "run", data, **arguments)
    assert not (tmp_path / "run").exists()
