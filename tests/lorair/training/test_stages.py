"""Losses, learning rates and the weights that a tower starts from, against their formulas."""

import math
from dataclasses import replace

import pytest
import torch

from lorair.training import RECIPES, STAGES, RecipeChanges, psnr_loss
from lorair.training.initial import weight_by_frequency


def test_restorer_learns_the_centre_of_what_the_router_sees(make_model, batches, brief) -> None:
    model = make_model()
    batch = batches(brief)[0]
    with torch.no_grad():
        routing = model.route(batch.degraded)
        centre = slice(4, 20)
        restored = model.restorer(batch.degraded[..., centre, centre], routing.prior, routing.gates)
        expected = psnr_loss(restored, batch.clean[..., centre, centre])
        recipe = replace(brief, gates="router", crop=16)
        torch.testing.assert_close(STAGES["finetune"].loss(model, batch, recipe), expected)


def test_learning_rate_warms_up_and_follows_a_cosine(brief) -> None:
    recipe = replace(brief, steps=111, warmup=10, learning_rate=1.0, final_learning_rate=0.2)
    rates = [recipe.learning_rate_at(step) for step in range(111)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.ones(1)], lr=1.0), 100, eta_min=0.2)
    expected = []
    for _ in range(101):
        expected.append(cosine.get_last_lr()[0])
        cosine.optimizer.step()
        cosine.step()
    assert rates[10:] == pytest.approx(expected, abs=1e-9)


def test_changes_of_a_recipe_leave_the_rest() -> None:
    recipe = RECIPES["published"]
    assert RecipeChanges().applied_to(recipe) == recipe
    changed = RecipeChanges(pretrain_steps=7, batch_size=8, precision="fp16", ema=0.0, train_all=True).applied_to(
        recipe
    )
    assert [stage.steps for stage in changed.values()] == [1562, 7, 100_000]
    for name, stage in changed.items():
        assert stage == replace(
            recipe[name],
            steps=stage.steps,
            batch_size=8,
            precision="fp16",
            ema=0.0,
            trained="all" if name == "finetune" else recipe[name].trained,
        )


def test_psnr_loss_is_the_mean_of_negative_psnr() -> None:
    clean = torch.zeros(2, 3, 8, 8)
    restored = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.01)])
    assert psnr_loss(restored, clean).item() == pytest.approx(-(20 + 40) / 2, abs=1e-3)


def test_frequency_weighting_multiplies_each_wave_by_its_square() -> None:
    patches = torch.nn.Conv2d(1, 3, 8, bias=False)
    x = torch.arange(8) * 2 * math.pi / 8
    waves = [torch.ones(8, 8), torch.cos(3 * x).expand(8, 8), torch.cos(x)[:, None] * torch.cos(2 * x)]
    with torch.no_grad():
        patches.weight.copy_(torch.stack(waves)[:, None])
    weight_by_frequency(patches)
    for got, wave, gain in zip(patches.weight[:, 0], waves, (1, 9, 5), strict=True):
        torch.testing.assert_close(got, gain * wave, atol=1e-4, rtol=1e-4)
