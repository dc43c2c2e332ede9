"""The published settings: their layouts in miniature, checked and trained on by the commands."""

import json
import re
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from lorair.checkpoints import read_checkpoint
from lorair.cli import app
from lorair.data import CropShapes, DataCheck
from lorair.data.layout import find_pairs
from lorair.model import PRESETS, ModelConfig
from lorair.plain_data import dataclass_from_dict
from lorair.settings import SETTINGS, Source, load_setting
from lorair.training import RECIPES, StageRecipe

TEN = (
    *("motion-blurry", "hazy", "jpeg-compressed", "low-light", "noisy", "raindrop", "rainy", "shadowed"),
    *("snowy", "uncompleted"),
)
WEATHER = [(split, weather) for split in ("train", "test") for weather in ("rain", "fog", "snow")]
RAIN_TESTS = ("Test100", "Rain100H", "Rain100L", "Test1200", "Test2800")

# By setting: degraded file -> clean file, as the published archives name them; None where the degradation is made.
LAYOUTS: dict[str, dict[str, str | None]] = {
    "adverse-weather": {
        **{
            f"allweather/input/{name}": f"allweather/gt/{name}"
            for name in ("beautiful_smile_00003.jpg", "winter_01.jpg", "im_0001_s80_a04.png", "12_rain.png")
        },
        **{f"test/Snow100K-{size}/synthetic/a.jpg": f"test/Snow100K-{size}/gt/a.jpg" for size in "SL"},
        "test/Test1/input/im_0301_s85_a04.png": "test/Test1/gt/im_0301.png",
        "test/Test1/input/im_0301_s90_a05.png": "test/Test1/gt/im_0301.png",
        "test/RainDrop/input/0_rain.png": "test/RainDrop/gt/0_clean.png",
    },
    "real-weather-stream": {
        f"{split}/{weather}/input/scene{scene}/degraded_{frame}.png": f"{split}/{weather}/target/scene{scene}/gt.png"
        for split, weather in WEATHER
        for scene in (0, 1)
        for frame in (0, 1)
    },
    "real-weather-wgws": {
        "Rain/RealRain/Training/real_train/rain_jpg/000.jpg": "Rain/RealRain/Training/real_train/gt_jpg/000gt.jpg",
        "Haze/REVID/Train/hazy_re/00001.JPG": "Haze/REVID/Train/gt_re/00001.JPG",
        "Snow/RealSnow/video2imgs_IN_training_re/1.png": "Snow/RealSnow/video2imgs_GT_training_re/1.png",
        **{
            f"Rain/RealRain/Testing/real_test_1000/rain_jpg/{i:03}.jpg": (
                f"Rain/RealRain/Testing/real_test_1000/gt_jpg/{i:03}gt.jpg"
            )
            for i in (0, 1)
        },
        "Haze/REVID/Test/hazy_re/00001.JPG": "Haze/REVID/Test/gt_re/00001.JPG",
        "Snow/RealSnow/video2imgs_IN_testing_re/1.png": "Snow/RealSnow/video2imgs_GT_testing_re/1.png",
    },
    "three-task": {
        "data/Train/Denoise/100007.jpg": None,
        "data/Train/Denoise/00001.bmp": None,
        "data/Train/Derain/rainy/rain-1.png": "data/Train/Derain/gt/norain-1.png",
        "data/Train/Derain/rainy/rain-10.png": "data/Train/Derain/gt/norain-10.png",
        "data/Train/Dehaze/synthetic/part1/0005_0.8_0.04.jpg": "data/Train/Dehaze/original/0005.jpg",
        "data/Train/Dehaze/synthetic/part2/0005_1_0.2.jpg": "data/Train/Dehaze/original/0005.jpg",
        "test/denoise/bsd68/test001.png": None,
        "test/derain/Rain100L/input/1.png": "test/derain/Rain100L/target/1.png",
        "test/dehaze/input/0001_0.8_0.2.jpg": "test/dehaze/target/0001.png",
    },
    "five-task": {
        "syn_rain/train/input/1.jpg": "syn_rain/train/target/1.jpg",
        "LOL/train/low/2.png": "LOL/train/high/2.png",
        "Snow100K/train/synthetic/a.jpg": "Snow100K/train/gt/a.jpg",
        "RESIDE/OTS_ALPHA/haze/OTS/0005_0.8_0.04.jpg": "RESIDE/OTS_ALPHA/clear/clear_images/0005.jpg",
        "RESIDE/OTS_ALPHA/haze/OTS/0005_1_0.2.jpg": "RESIDE/OTS_ALPHA/clear/clear_images/0005.jpg",
        "Deblur/train/input/GOPR0372_07_00-000047.png": "Deblur/train/target/GOPR0372_07_00-000047.png",
        **{f"syn_rain/test/{name}/input/1.png": f"syn_rain/test/{name}/target/1.png" for name in RAIN_TESTS},
        "LOL/test/low/1.png": "LOL/test/high/1.png",
        **{f"Snow100K/test/Snow100K-{s}/synthetic/a.jpg": f"Snow100K/test/Snow100K-{s}/gt/a.jpg" for s in "SL"},
        "RESIDE/SOTS/outdoor/hazy/0001_0.8_0.2.jpg": "RESIDE/SOTS/outdoor/gt/0001.png",
        "Deblur/test/GoPro/input/1.png": "Deblur/test/GoPro/target/1.png",
    },
    "ten-task": {
        f"{split}/{task}/LQ/{name}.png": f"{split}/{task}/GT/{name}.png"
        for split in ("train", "val")
        for task in TEN
        for name in (("beautiful_smile_7",) if task == "snowy" else ("0_a",))
    },
}


def build(name: str, root: Path) -> None:
    """Images of 40 x 56 pixels, degraded ones darker than their clean ones."""
    rng = np.random.default_rng(0)
    for degraded, clean in LAYOUTS[name].items():
        pixels = rng.integers(100, 200, (40, 56, 3), dtype=np.uint8)
        for path, image in ((degraded, pixels // 2), (clean, pixels)):
            if path is not None:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(root / path)


@pytest.fixture
def lorair(run_command, capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        code = run_command("lorair", *arguments)
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", SETTINGS)
def test_published_layouts_pair_as_their_names_say(name: str, tmp_path: Path) -> None:
    build(name, tmp_path)
    setting = load_setting(name, tmp_path)
    sources = (*setting.train, *setting.test)
    pairs = [pair for source in sources for pair in find_pairs(source, tmp_path).pairs]
    expected = LAYOUTS[name]
    assert {pair.name for pair in pairs} == set(expected)
    assert all(pair.clean == (expected[pair.name] or pair.name) for pair in pairs)
    made = Counter(pair.name for pair in pairs)
    assert all(made[path] == (3 if clean is None else 1) for path, clean in expected.items())


def test_the_three_sources_of_allweather_are_kept_apart(tmp_path: Path) -> None:
    build("adverse-weather", tmp_path)
    train = load_setting("adverse-weather", tmp_path).train
    names = {source.expert: [Path(pair.clean).name for pair in find_pairs(source, tmp_path).pairs] for source in train}
    assert names == {
        "snow": ["beautiful_smile_00003.jpg", "winter_01.jpg"],
        "rain": ["im_0001_s80_a04.png"],
        "raindrop": ["12_rain.png"],
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_checked(name: str, lorair, tmp_path: Path) -> None:
    build(name, tmp_path)
    code, out, err = lorair("data", "check", name, "--root", tmp_path, "--deep", "--partial")
    assert code == 0 and out.endswith("complete\n"), out + err
    code, out, _ = lorair("data", "check", name, "--root", tmp_path)
    unknown = name == "real-weather-stream"
    assert code == (0 if unknown else 1) and ("other count" in out) != unknown


# Of the six, three-task has made degradations, pairs and several test sets of one expert.
@pytest.mark.parametrize(
    "name", [name if name == "three-task" else pytest.param(name, marks=pytest.mark.full) for name in SETTINGS]
)
def test_a_setting_is_trained_and_evaluated_by_one_command_each(
    name: str, lorair, small_config: ModelConfig, monkeypatch, tmp_path: Path
) -> None:
    root, run, report = tmp_path / "data", tmp_path / "run", tmp_path / "report"
    build(name, root)
    brief = StageRecipe(
        steps=2, batch_size=4, shapes=CropShapes(16, 32, 1.5), learning_rate=1e-3, final_learning_rate=1e-4,
        trained="all",
    )  # fmt: skip
    recipe = {"router": brief, "pretrain": brief, "finetune": replace(brief, trained="experts", gates="router")}
    monkeypatch.setitem(PRESETS, "small", small_config)
    monkeypatch.setitem(RECIPES, "brief", recipe)
    code, _, err = lorair(
        *("train", "all", "--setting", name, "--root", root, "--preset", "small", "--recipe", "brief"),
        *("--output", run, "--workers", 0, "--device", "cpu", "--val-images", 1, "--threads", 1),
        *("--batch-size", 2, "--precision", "bf16", "--ema", 0.5, "--validate-every", 1, "--keep", 1),
    )
    assert code == 0, err
    checkpoint, setting = read_checkpoint(run / "best.pt"), load_setting(name, root)
    assert checkpoint.config.degradations == setting.experts and checkpoint.training["setting"] == name
    assert list(checkpoint.training["stages"]) == ["router", "pretrain", "finetune"]
    assert set(checkpoint.training["stages"]["finetune"]["validation"]) == set(setting.experts)
    trained = checkpoint.training["stages"]["pretrain"]["recipe"]
    assert [trained[key] for key in ("batch_size", "precision", "ema", "validate_every")] == [2, "bf16", 0.5, 1]
    assert len(list((run / "states").iterdir())) == 3
    words = ("--setting", name, "--root", root, "--model", run / "best.pt", "--device", "cpu", "-o", report)
    code, _, err = lorair("evaluate", *words)
    assert code == 0, err
    record = json.loads((report / "evaluation.json").read_text())
    assert {task["task"] for task in record["tasks"]} == {source.name for source in setting.test}


def test_published_averages_are_the_means_of_their_columns() -> None:
    methods = load_setting("three-task", Path()).published
    whole = [method for method in methods if len(method.figures) == 6]
    assert len(whole) >= 5
    for method in whole:
        columns = [figure for name, figure in method.figures.items() if name != "average"]
        for index, tolerance in ((0, 0.02), (1, 0.002)):
            mean = fmean(column[index] for column in columns)
            assert mean == pytest.approx(method.figures["average"][index], abs=tolerance), method.method
    paper = load_setting("adverse-weather", Path()).published[0]
    assert paper.method == "LoRA-IR" and fmean(f[0] for f in paper.figures.values()) == pytest.approx(32.76, abs=0.01)


@pytest.mark.parametrize("name", SETTINGS)
def test_figures_name_benchmarks(name: str) -> None:
    setting = load_setting(name, Path())
    benchmarks = {source.name for source in setting.test} | {"average", "rain (average)", "Snow100K (average)"}
    assert all({*method.figures, *method.unknown} <= benchmarks for method in setting.published)
    assert setting.recipe in RECIPES and set(setting.overrides) <= set(RECIPES[setting.recipe])


def test_the_guide_names_every_setting_with_its_experts_and_protocol() -> None:
    guide = (Path(__file__).parents[3] / "docs/training.md").read_text()
    rows = {row[1].strip(" `"): row for line in guide.splitlines() if len(row := line.split("|")) == 7}
    for name in SETTINGS:
        setting = load_setting(name, Path())
        assert rows[name][2].strip().split(", ") == list(setting.experts)
        assert rows[name][5].strip(" `") == setting.protocol
    (example,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert dataclass_from_dict(Source, tomllib.loads(example)["train"][0], "example").count.pairs == 5 * 7 * 2061


def test_the_command_names_every_setting() -> None:
    option = next(p for p in get_command(app).commands["train"].params if p.name == "setting")
    assert all(f"{name}," in option.help for name in SETTINGS)


def test_own_pairs_are_a_setting(lorair, read_json, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for task, ending in (("mist", "jpg"), ("glare", "png")):
            for side, suffix in (("degraded", ending), ("clean", "png")):
                folder = tmp_path / split / task / side
                folder.mkdir(parents=True)
                Image.new("RGB", (8, 8)).save(folder / f"a.{suffix}")
    assert load_setting("pairs", tmp_path).experts == ("glare", "mist")
    code, out, _ = lorair("data", "check", "pairs", "--root", tmp_path, "--json")
    facts = read_json(DataCheck, out)
    assert code == 0 and facts["complete"] and [source["pairs"] for source in facts["sources"]] == [1, 1, 1, 1]
    code, out, _ = lorair("data", "speed", "pairs", "--root", tmp_path, "--crop", 8, "--batches", 2, "--workers", 0)
    assert code == 0 and float(out.split(" images/s")[0]) > 0


def test_task_folders_that_globs_would_misread_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "train/a[1]/degraded").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"rename \['a\[1\]'\]"):
        load_setting("pairs", tmp_path)
    with pytest.raises(ValueError, match="expected train/TASK/degraded"):
        load_setting("pairs", tmp_path / "train")


def test_wrong_settings_are_rejected_with_what_to_do(lorair, tmp_path: Path) -> None:
    code, _, err = lorair("data", "check", "six-task", "--root", tmp_path)
    assert code == 2 and "adverse-weather" in err
    own = tmp_path / "own.toml"
    own.write_text('title = "t"\ntasks = ["a"]\nexperts = ["a"]\nprotocol = "p"\ntest = []\n[[train]]\nname = 3\n')
    with pytest.raises(ValueError, match=r"train\[0\]\.name must be str; got 3"):
        load_setting(str(own), tmp_path)
    source = '[[train]]\nname = "n"\ntasks = ["a"]\nexpert = "a"\ndegraded = "x/*"\nclean = ["y/{id}.png"]\n'
    own.write_text(own.read_text().split("[[train]]")[0] + source)
    with pytest.raises(ValueError, match=r"no groups \['id'\]"):
        load_setting(str(own), tmp_path)
    own.write_text(
        own.read_text().replace('degraded = "x/*"', 'synthesis = {degradation = "noise", severity = {beta = 1}}')
    )
    with pytest.raises(ValueError, match=r"noise has no parameters \['beta'\]"):
        load_setting(str(own), tmp_path)
    code, _, err = lorair("train", "all", tmp_path, "--setting", "three-task", "-o", tmp_path / "run")
    assert code == 2 and "either PHOTOS with --val" in err
    code, _, err = lorair("train", "all", "--setting", "three-task", "--root", tmp_path, "-o", tmp_path / "run")
    assert code == 1 and "lorair data check" in err and err.count("\n") == 1
