import io
import itertools
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from lorair.checkpoints import checkpoint_of, read_checkpoint
from lorair.data import Batch, CropShapes, DegradedBatches, PhotographFolder, ValidationPairs
from lorair.errors import TrainingError
from lorair.images import psnr
from lorair.model.config import ModelConfig, config_to_dict
from lorair.model.experts import ExpertConv2d
from lorair.model.lorair import LoRAIR
from lorair.training import RECIPES, Photographs, StageRecipe, TrainingRun
from lorair.training.evaluation import Validation, mean_priors, quality, restored_psnr, router_accuracy
from lorair.training.initial import weight_by_frequency
from lorair.training.loop import StageRun, run_stage
from lorair.training.processes import ALONE
from lorair.training.progress import StageProgress
from lorair.training.stages import STAGES, Stage, psnr_loss
from lorair.training.states import States

BRIEF = StageRecipe(
    steps=6,
    batch_size=4,
    shapes=CropShapes(24, 24),
    learning_rate=2e-3,
    final_learning_rate=1e-4,
    trained="all",
    gradient_clip=1.0,
    validate_every=2,
)


@pytest.fixture
def photographs(photograph_folder: Path) -> PhotographFolder:
    return PhotographFolder(photograph_folder)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def batches(photographs: PhotographFolder, config: ModelConfig, recipe: StageRecipe) -> DegradedBatches:
    return DegradedBatches(
        photographs, config.degradations, recipe.shapes, recipe.batch_size, recipe.steps, 0, recipe.tasks
    )


def quiet() -> Console:
    return Console(file=io.StringIO())


def train_stage(
    model: LoRAIR,
    stage: Stage,
    recipe: StageRecipe,
    data: DegradedBatches,
    state: Path,
    scores: Iterable[float] | None = None,
    compiled: bool = False,
) -> list[LoRAIR]:
    """Run one stage in this process, validations giving `scores`; returns the models that were kept."""
    kept: list[LoRAIR] = []
    values = itertools.repeat(1.0) if scores is None else iter(scores)
    run = StageRun(model, stage, recipe, ALONE, compiled)
    states = States(state, stage.name, {"recipe": asdict(recipe)})
    with StageProgress(quiet()) as progress:
        run_stage(run, data, lambda _: Validation({"all": next(values)}), kept.append, states, progress, workers=0)
    return kept


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_its_own_parameters_alone(name, make_model, photographs, tmp_path: Path) -> None:
    model = make_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    finetuned = {"trained": "experts", "gates": "label"} if name == "finetune" else {}
    recipe = replace(BRIEF, steps=2, **finetuned)
    train_stage(model, STAGES[name], recipe, batches(photographs, model.config, recipe), tmp_path / "state")
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


def test_a_frozen_tower_stays(make_model, photographs, tmp_path: Path) -> None:
    model = make_model()
    tower = {key: value.clone() for key, value in model.router.tower.state_dict().items()}
    head = model.router.head.weight.clone()
    recipe = replace(BRIEF, steps=2, trained="head")
    train_stage(model, STAGES["router"], recipe, batches(photographs, model.config, recipe), tmp_path / "state")
    assert all(torch.equal(value, tower[key]) for key, value in model.router.tower.state_dict().items())
    assert not torch.equal(model.router.head.weight, head)


@pytest.mark.parametrize("name", STAGES)
def test_the_loss_falls(name, small_config: ModelConfig, photographs, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LoRAIR(small_config)
    recipe = replace(BRIEF, steps=40, validate_every=40, gates="router" if name == "finetune" else "none")
    data = batches(photographs, small_config, recipe)

    def loss() -> float:
        with torch.no_grad():
            return sum(STAGES[name].loss(model, data[step], recipe).item() for step in range(3))

    before = loss()
    train_stage(model, STAGES[name], recipe, data, tmp_path / "state")
    assert loss() < before - 0.3


@pytest.mark.parametrize("precision, ema", [("fp32", None), ("bf16", 0.5), ("fp16", None)])
def test_resuming_gives_the_uninterrupted_weights(
    make_model, photographs, tmp_path: Path, precision: str, ema: float | None
) -> None:
    recipe = replace(BRIEF, precision=precision, ema=ema)
    stage = STAGES["pretrain"]
    whole, parts = make_model(), make_model()
    data = batches(photographs, whole.config, recipe)
    train_stage(whole, stage, recipe, data, tmp_path / "whole")

    calls = 0

    def interrupted(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return stage.loss(model, batch, recipe)

    with pytest.raises(KeyboardInterrupt):
        train_stage(parts, replace(stage, loss=interrupted), recipe, data, tmp_path / "parts")
    parts = make_model(seed=1)
    train_stage(parts, stage, recipe, data, tmp_path / "parts")
    other = parts.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in whole.state_dict().items())


def test_what_is_kept_is_the_average_of_the_weights(make_model, photographs, tmp_path: Path) -> None:
    plain = replace(BRIEF, steps=3, validate_every=1)
    data = batches(photographs, make_model().config, plain)
    kept = {}
    for ema in (None, 0.75):
        model, folder = make_model(), tmp_path / str(ema)
        kept[ema] = train_stage(model, STAGES["pretrain"], replace(plain, ema=ema), data, folder, itertools.count())
        assert len(kept[ema]) == 3 and (kept[ema][-1] is model) == (ema is None)
    paths = sorted((tmp_path / "None").iterdir())
    first, *later = (torch.load(path, weights_only=True)["model"]["restorer.net.intro.weight"] for path in paths)
    for weight in later:
        first = 0.75 * first + 0.25 * weight
    torch.testing.assert_close(kept[0.75][-1].restorer.net.intro.weight, first)


def test_the_newest_states_stay_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    states = States(tmp_path, "router", {"seed": 0}, keep=2)
    for step in (2, 4, 10):
        states.write(step, {"weights": torch.full((3,), float(step))})
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["router-00000004.state", "router-00000010.state"]
    newest = states.newest()
    assert newest is not None and newest["step"] == 10 and torch.equal(newest["weights"], torch.full((3,), 10.0))
    (tmp_path / "router-00000010.state").write_bytes(b"half")
    with pytest.raises(TrainingError, match=r"router-00000010\.state is damaged .*: remove it"):
        states.newest()


@pytest.mark.parametrize("name", STAGES)
def test_compiled_training_is_the_same(name, make_model, photographs, tmp_path: Path, monkeypatch) -> None:
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_(self, backend="aot_eager"))  # quick
    recipe = replace(BRIEF, steps=2, gates="router" if name == "finetune" else "none")
    plain, compiled = make_model(), make_model()
    data = batches(photographs, plain.config, recipe)
    train_stage(plain, STAGES[name], recipe, data, tmp_path / "plain")
    train_stage(compiled, STAGES[name], recipe, data, tmp_path / "compiled", compiled=True)
    other = compiled.state_dict()
    for key, value in plain.state_dict().items():
        if not key.endswith("attn.in_proj_bias"):  # a key's bias has no gradient but rounding
            torch.testing.assert_close(other[key], value, rtol=1e-3, atol=1e-5)


def test_restorer_learns_the_centre_of_what_the_router_sees(make_model, photographs) -> None:
    model = make_model()
    batch = batches(photographs, model.config, BRIEF)[0]
    with torch.no_grad():
        routing = model.route(batch.degraded)
        centre = slice(4, 20)
        restored = model.restorer(batch.degraded[..., centre, centre], routing.prior, routing.gates)
        expected = psnr_loss(restored, batch.clean[..., centre, centre])
        recipe = replace(BRIEF, gates="router", crop=16)
        torch.testing.assert_close(STAGES["finetune"].loss(model, batch, recipe), expected)


def test_a_state_of_another_recipe_is_refused(make_model, photographs, tmp_path: Path) -> None:
    model = make_model()
    data = batches(photographs, model.config, BRIEF)
    train_stage(model, STAGES["router"], BRIEF, data, tmp_path / "state")
    with pytest.raises(TrainingError, match="another recipe or seed"):
        train_stage(model, STAGES["router"], replace(BRIEF, learning_rate=1.0), data, tmp_path / "state")


def test_a_loss_that_is_not_finite_names_its_batch(make_model, photographs, tmp_path: Path) -> None:
    model = make_model()
    data = batches(photographs, model.config, BRIEF)
    calls = 0

    def poisoned(model: LoRAIR, batch: Batch, recipe: StageRecipe) -> Tensor:
        nonlocal calls
        calls += 1
        return STAGES["router"].loss(model, batch, recipe) * (math.nan if calls == 4 else 1)

    with pytest.raises(TrainingError, match=r"stage router is nan at step 3 \(batch 3, .*snow"):
        train_stage(model, replace(STAGES["router"], loss=poisoned), BRIEF, data, tmp_path / "state")
    newest = States(tmp_path / "state", "router", {"recipe": asdict(BRIEF)}).newest()
    assert newest is not None and newest["step"] == 2


def test_only_the_best_model_is_kept(make_model, photographs, tmp_path: Path) -> None:
    model = make_model()
    data = batches(photographs, model.config, BRIEF)
    assert len(train_stage(model, STAGES["router"], BRIEF, data, tmp_path / "state", scores=[3.0, 2.0, 4.0])) == 2


def test_learning_rate_warms_up_and_follows_a_cosine() -> None:
    recipe = replace(BRIEF, steps=111, warmup=10, learning_rate=1.0, final_learning_rate=0.2)
    rates = [recipe.learning_rate_at(step) for step in range(111)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([torch.ones(1)], lr=1.0), 100, eta_min=0.2)
    expected = []
    for _ in range(101):
        expected.append(cosine.get_last_lr()[0])
        cosine.optimizer.step()
        cosine.step()
    assert rates[10:] == pytest.approx(expected, abs=1e-9)


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


def test_evaluation_by_degradation(make_model) -> None:
    model = make_model()
    images = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        routing = model.route(images)
        plain = model.restorer(images, routing.prior, torch.zeros_like(routing.gates)).clamp(0, 1)
    hits = (routing.gates.argmax(1) == labels).double()
    pairs = [Batch(images, plain + 2 / 255, labels)]
    assert router_accuracy(model, pairs)["noise"] == hits[[0, 3]].mean()
    assert set(restored_psnr(model, pairs, experts=True)) == {"noise", "rain", "haze"}
    unclipped = (plain < 1 - 3 / 255).all()
    assert not unclipped or restored_psnr(model, pairs, experts=False)["rain"] == pytest.approx(42.1, abs=0.2)
    with pytest.raises(ValueError, match="no images of snow"):
        mean_priors(model, pairs)
    filled = [Batch(images, images, torch.tensor([0, 1, 2, 3])), Batch(images[:1], images[:1], torch.tensor([3]))]
    expected = torch.stack([*routing.prior[:3], (routing.prior[3] + routing.prior[0]) / 2])
    torch.testing.assert_close(mean_priors(model, filled), expected, atol=1e-5, rtol=1e-4)


def test_quality_is_what_is_measured_apart_and_routes_an_image_once(make_model, photographs, monkeypatch) -> None:
    model = make_model()
    pairs = ValidationPairs(photographs, model.degradations, crop=24)
    plain, expert = restored_psnr(model, pairs, experts=False), restored_psnr(model, pairs, experts=True)
    accuracy, route, routed = router_accuracy(model, pairs), model.route, []
    monkeypatch.setattr(model, "route", lambda images: routed.append(len(images)) or route(images))
    measured = quality(model, pairs)
    assert sum(routed) == len(pairs)
    for name, figures in measured.items():
        assert (figures.plain_psnr, figures.expert_psnr, figures.accuracy) == pytest.approx(
            (plain[name], expert[name], accuracy[name])
        )
        degraded = [
            psnr(b.degraded, b.clean, rounded=True).item() for b in pairs if model.degradations[int(b.labels)] == name
        ]
        assert figures.input_psnr == pytest.approx(sum(degraded) / len(degraded))


@pytest.fixture
def make_run(small_config: ModelConfig, photographs, tmp_path: Path) -> Callable[..., TrainingRun]:
    def make(**changes: object) -> TrainingRun:
        brief = replace(BRIEF, steps=2)
        recipe = {"router": brief, "pretrain": brief, "finetune": replace(brief, trained="experts", tasks=2)}
        settings = {"folder": tmp_path / "run", "config": small_config, "recipe": recipe, "workers": 0}
        data = Photographs(photographs, photographs, small_config.degradations)
        return TrainingRun(data=data, **(settings | changes))  # pyright: ignore

    return make


def test_a_run_leaves_a_checkpoint_that_tells_its_story(make_run, small_config: ModelConfig) -> None:
    best = make_run().train(("router", "pretrain", "finetune"), quiet())
    checkpoint = read_checkpoint(best)
    assert checkpoint.config == small_config
    assert checkpoint.mean_priors is not None and checkpoint.mean_priors.shape == (4, small_config.router.prior_dim)
    story = checkpoint.training
    assert story["photographs"] == 2 and list(story["stages"]) == ["router", "pretrain", "finetune"]
    assert story["stages"]["finetune"]["recipe"]["steps"] == 2
    assert set(story["stages"]["finetune"]["validation"]["rain"]) == {
        "input_psnr", "plain_psnr", "expert_psnr", "accuracy",
    }  # fmt: skip
    [call] = json.loads((best.parent / "run.json").read_text())
    assert (call["seed"], call["processes"], call["config"]) == (0, 1, config_to_dict(small_config))
    assert call["recipe"]["pretrain"]["learning_rate"] == 2e-3 and call["machine"]["versions"]["torch"]
    modified = best.stat().st_mtime_ns
    make_run().train(("router", "pretrain", "finetune"), quiet())
    again = read_checkpoint(best)
    assert best.stat().st_mtime_ns == modified
    assert all(torch.equal(tensor, again.state[name]) for name, tensor in checkpoint.state.items())


def test_tensorboard_is_told_of_losses_scores_and_images(make_run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    brief = replace(BRIEF, steps=20, validate_every=10)
    recipe = {"router": replace(brief, steps=2), "pretrain": brief}
    best = make_run(recipe=recipe).train(("router", "pretrain"), quiet())
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


def test_a_stage_needs_the_one_before(make_run) -> None:
    with pytest.raises(TrainingError, match=r"stage finetune builds on .*pretrain\.pt, which is missing"):
        make_run().train(("finetune",), quiet())


def test_a_run_may_start_from_the_tower_of_a_model_with_other_experts(make_run, make_model, small_config) -> None:
    other = make_model(config=replace(small_config, degradations=("blur", "dusk")))
    frozen = {name: replace(stage, trained="head") for name, stage in make_run().recipe.items()}
    make_run(start=checkpoint_of(other), recipe=frozen).train(("router",), quiet())
    state = read_checkpoint(make_run().folder / "router.pt").state
    tower = other.router.tower.state_dict()
    assert all(torch.equal(state[f"router.tower.{name}"], value) for name, value in tower.items())
    with pytest.raises(TrainingError, match="other experts"):
        make_run(start=checkpoint_of(other), folder=make_run().folder / "new").train(("pretrain",), quiet())


def test_a_frozen_tower_needs_trained_weights(make_run) -> None:
    with pytest.raises(TrainingError, match="--start"):
        make_run(recipe=RECIPES["published"]).train(("router",), quiet())
