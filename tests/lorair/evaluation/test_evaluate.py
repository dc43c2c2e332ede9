"""`lorair evaluate` over a runtime whose answers are known, and over a small model."""

import csv
import json
import math
import shutil
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import lorair
import lorair.settings
from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.cli.evaluate import evaluate as evaluate_command
from lorair.data import BenchmarkPair, PhotographFolder, ValidationPairs
from lorair.evaluation import FolderPairs, PhotographPairs, evaluate
from lorair.evaluation.metrics import PROTOCOLS
from lorair.evaluation.report import confusion_table, published_table, record_of, task_table, write_report
from lorair.evaluation.sheet import SIDE, Sheet
from lorair.evaluation.summary import average, confusion, summarize
from lorair.model.router import Routing
from lorair.photographs import examples
from lorair.settings import SETTINGS, Published, load_setting


@dataclass
class Brighten:
    """Adds a tenth; takes what is darker than the middle for low light, the rest for haze."""

    name = "brighten"
    degradations = ("haze", "low_light")
    size_range: tuple[int, int] | None = None
    sizes: list[tuple[int, int]] = field(default_factory=list)

    def route(self, images):
        gates = torch.tensor([[0.0, 1.0]] if images.mean() < 0.5 else [[1.0, 0.0]])
        return Routing(gates, gates, gates)

    def pin(self, degradation, batch):
        if degradation not in self.degradations:
            raise ValueError(f"unknown degradation {degradation!r}")
        gates = torch.eye(2)[[self.degradations.index(degradation)]]
        return Routing(None, gates, gates)

    def restore(self, images, routing):
        self.sizes.append(tuple(images.shape[-2:]))
        return (images + 0.1).clamp(0, 1), routing.gates


def pair(level, task, height=32, width=40, error=20, expert=None, dtype=np.uint8, protocol="basicsr-rgb"):
    """A flat image, `error` levels darker than the clean one."""
    top = np.iinfo(dtype).max // 255
    clean = np.full((height, width, 3), level * top, dtype)
    return BenchmarkPair(f"{task}-{level}.png", task, expert, protocol, clean - dtype(error * top), clean)


def decibels(levels):
    return 20 * math.log10(255 / levels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scores_of_known_errors(dtype):
    pairs = [pair(100, "dark", expert="low_light", dtype=dtype), pair(200, "dark", 33, 47, 30, "low_light", dtype)]
    first, second = (evaluated.score for evaluated in evaluate(Brighten(), pairs))
    # 0.1 is 25.5 levels: 5.5 too bright, and 4.5 too dark, where rounding to even gives 6 and 4.
    assert (first.before.psnr, first.after.psnr) == pytest.approx((decibels(20), decibels(6)), abs=1e-6)
    assert (second.before.psnr, second.after.psnr) == pytest.approx((decibels(30), decibels(4)), abs=1e-6)
    assert (first.seen, second.seen, first.routed) == ("low_light", "haze", True)
    assert (second.height, second.width) == (33, 47)
    assert first.gain == pytest.approx(decibels(6) - decibels(20), abs=1e-6)


def test_an_unrounded_protocol_sees_the_unrounded_output():
    unrounded = [pair(100, "dark", protocol="wgws-rgb")]
    (own,) = evaluate(Brighten(), unrounded)
    (asked,) = evaluate(Brighten(), unrounded, "basicsr-rgb")
    assert (own.score.protocol, own.score.after.psnr) == ("wgws-rgb", pytest.approx(decibels(5.5), abs=1e-4))
    assert (asked.score.protocol, asked.score.after.psnr) == ("basicsr-rgb", pytest.approx(decibels(6), abs=1e-6))


def test_a_protocol_crops_before_restoring():
    runtime = Brighten()
    (evaluated,) = evaluate(runtime, [pair(100, "dark", 35, 50, protocol="rgb-float-crop16")])
    assert runtime.sizes == [(32, 48)]
    assert evaluated.clean.shape == evaluated.restored.shape == (32, 48, 3)


def test_pairs_are_read_one_at_a_time():
    read = []

    def pairs():
        for level in (100, 110, 120):
            read.append(level)
            yield pair(level, "dark")

    results = evaluate(Brighten(), pairs())
    next(results)
    assert read == [100]


def test_naming_the_degradation():
    pairs = [pair(100, "a", expert="low_light"), pair(100, "b", expert="haze")]
    assert [e.score.seen for e in evaluate(Brighten(), pairs, degradation="haze")] == ["haze", "haze"]
    scores = [e.score for e in evaluate(Brighten(), pairs, degradation="oracle")]
    assert [score.seen for score in scores] == ["low_light", "haze"]
    assert not confusion(scores)
    assert summarize(scores)[0].accuracy is None


@pytest.mark.parametrize("expert", [None, "moire"])
def test_an_oracle_needs_an_expert(expert):
    with pytest.raises(ValueError, match=r"a-100.png: its task is none of the model's \(haze, low_light\)"):
        list(evaluate(Brighten(), [pair(100, "a", expert=expert)], degradation="oracle"))


def test_a_pair_of_two_sizes_is_named():
    wrong = replace(pair(100, "a"), clean=np.zeros((32, 41, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a-100.png: two RGB images"):
        list(evaluate(Brighten(), [wrong]))


def test_tiles_reach_the_runtime():
    runtime = Brighten()
    list(evaluate(runtime, [pair(100, "a", 96, 96)], tile=64, overlap=16))
    assert set(runtime.sizes) == {(64, 64)}


@pytest.fixture
def scores():
    """Three low-light images, one of which is taken for haze, and a hazy one."""
    pairs = [pair(level, "LOL", expert="low_light", error=error) for level, error in ((90, 20), (100, 30), (200, 40))]
    return [e.score for e in evaluate(Brighten(), [*pairs, pair(220, "SOTS", expert="haze", error=10)])]


def test_summary(scores):
    dark, hazy = summarize(scores)
    assert (dark.task, dark.images, hazy.task, hazy.images) == ("LOL", 3, "SOTS", 1)
    assert dark.before.psnr == pytest.approx(sum(map(decibels, (20, 30, 40))) / 3, abs=1e-6)
    assert dark.accuracy == pytest.approx(2 / 3)
    both = average([dark, hazy])
    assert both.images == 4
    assert both.after.psnr == pytest.approx((dark.after.psnr + hazy.after.psnr) / 2)
    assert both.accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert confusion(scores) == {"low_light": {"low_light": 2, "haze": 1}, "haze": {"haze": 1}}


def text_of(table):
    console = Console(file=StringIO(), width=100)
    console.print(table)
    return [line.split() for line in console.file.getvalue().splitlines()]


def test_tables(scores):
    summaries = summarize(scores)
    lines = text_of(task_table(summaries))
    assert lines[1][:2] == ["LOL", "3"]
    assert lines[1][-1] == "0.67"
    assert lines[-1][:2] == ["average", "4"]
    assert text_of(confusion_table(confusion(scores), Brighten.degradations)) == [
        ["is", "/", "taken", "for", "haze", "low_light"],
        ["low_light", "1", "2"],
        ["haze", "1", "·"],
    ]
    rows = [
        Published("A", "paper", {"LOL": (20.0, 0.9), "SOTS": (31.0, 0.95, 0.1), "average": (25.51, 0.93)}),
        Published("B", "other", {"LOL": (21.0,), "SOTS": (30.0,), "GoPro": (40.0,), "average": (30.33,)}),
        Published("C", "other", {"SOTS": (30.5,)}),
        Published("D", "third", {"average": (25.0, 0.8)}),
        Published("E", "not found", unknown=("LOL",)),
    ]
    psnr, ssim = zip(*(summary.after for summary in summaries), strict=True)
    *lines, caption, rest = text_of(published_table(summaries, rows))
    assert lines == [
        ["PSNR,", "SSIM", "LOL", "SOTS", "average", "from"],
        ["this", "model", *(f"{value:.2f}" for value in (*psnr, sum(psnr) / 2)), "1"],
        [f"{value:.3f}" for value in (*ssim, sum(ssim) / 2)],
        ["A", "20.00", "31.00", "25.51", "2"],
        ["0.900", "0.950", "0.930"],
        ["B", "21.00", "30.00", "25.50", "3"],
        ["C", "-", "30.50", "-", "3"],
        ["D", "-", "-", "25.00", "4"],
        ["0.800"],
    ]
    assert " ".join(caption + rest) == "1 measured, 4 images; 2 paper; 3 other; 4 third"


def test_report(scores, tmp_path):
    sheet = Sheet()
    pairs = [pair(100, "a", 600, 300, error=20), pair(110, "a", error=0), pair(120, "a", error=40), pair(100, "b")]
    for evaluated in evaluate(Brighten(), pairs):
        sheet.add(evaluated)
    paths = write_report(tmp_path / "out", record_of(scores, {"model": tmp_path}), scores, sheet)
    assert sorted(path.name for path in paths) == sorted(path.name for path in (tmp_path / "out").iterdir())
    record = json.loads(paths[0].read_text())
    assert [task["task"] for task in record["tasks"]] == ["LOL", "SOTS"]
    assert record["tasks"][0]["psnr"] == pytest.approx(summarize(scores)[0].after.psnr)
    assert record["confusion"]["low_light"] == {"low_light": 2, "haze": 1}
    assert record["protocols"]["basicsr-rgb"]["window"] == {"size": 11, "sigma": 1.5}
    rows = list(csv.DictReader(StringIO(paths[1].read_text())))
    assert [row["name"] for row in rows] == [score.name for score in scores]
    assert [float(row["psnr"]) for row in rows] == [score.after.psnr for score in scores]
    with Image.open(paths[2]) as image:
        assert image.width > 6 * SIDE
        assert SIDE < image.height < 2 * SIDE


def test_the_sheet_has_the_best_and_the_worst():
    sheet = Sheet()
    for evaluated in evaluate(Brighten(), [pair(100, "a", error=error) for error in (20, 0, 26, 40)]):
        sheet.add(evaluated)
    worst, best = sheet._extremes["a"]
    assert (worst.score.before.psnr, best.score.before.psnr) == (math.inf, pytest.approx(decibels(26)))


def test_equal_images_are_null_in_json():
    scores = [evaluated.score for evaluated in evaluate(Brighten(), [pair(100, "a", error=0)])]
    task = json.loads(json.dumps(record_of(scores, {}), allow_nan=False))["tasks"][0]
    assert (task["input_psnr"], task["input_ssim"]) == (None, 1)
    assert "inf" in text_of(task_table(summarize(scores)))[1]


def save(path, seed, size=(40, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.mark.parametrize("sides", [("input", "target"), ("LQ", "GT"), ("degraded", "clean")])
def test_folders_of_pairs(tmp_path, sides):
    saved = {}
    for seed, (task, name) in enumerate([("haze", "b.png"), ("haze", "a.png"), ("other", "a.tif")]):
        saved[task, name] = (
            save(tmp_path / task / sides[0] / name, seed),
            save(tmp_path / task / sides[1] / name, 9 + seed),
        )
    (tmp_path / "haze" / sides[1] / "notes.txt").write_text("not an image")
    pairs = FolderPairs(tmp_path, ("haze",))
    found = list(pairs)
    assert len(pairs) == len(found) == 3
    assert [(p.task, p.expert) for p in found] == [("haze", "haze"), ("haze", "haze"), ("other", None)]
    for p, key in zip(found, [("haze", "a.png"), ("haze", "b.png"), ("other", "a.tif")], strict=True):
        assert np.array_equal(p.degraded, saved[key][0])
        assert np.array_equal(p.clean, saved[key][1])


def test_a_folder_of_one_task(tmp_path):
    save(tmp_path / "rain" / "input" / "a.png", 0)
    save(tmp_path / "rain" / "target" / "a.webp", 1)
    assert [(p.task, p.name) for p in FolderPairs(tmp_path / "rain", ())] == [
        ("rain", str(tmp_path / "rain" / "input" / "a.png"))
    ]


def test_folders_that_are_no_pairs(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        FolderPairs(tmp_path / "absent", ())
    with pytest.raises(ValueError, match="expected TASK/input and TASK/target"):
        FolderPairs(tmp_path, ())
    save(tmp_path / "rain" / "input" / "a.png", 0)
    save(tmp_path / "rain" / "target" / "b.png", 0)
    with pytest.raises(ValueError, match=r"2 images have no counterpart.*: a, b"):
        FolderPairs(tmp_path, ())
    shutil.copy(tmp_path / "rain" / "input" / "a.png", tmp_path / "rain" / "input" / "a.tif")
    with pytest.raises(ValueError, match="have one name"):
        FolderPairs(tmp_path, ())


def test_photographs_are_degraded_as_for_validation():
    folder = examples()[0].parent
    expected = list(ValidationPairs(PhotographFolder(folder), ("rain", "jpeg"), crop=64))
    pairs = PhotographPairs(folder, ("rain", "jpeg"), crop=64)
    assert len(pairs) == len(expected)
    for found, (degraded, clean, label) in zip(pairs, expected, strict=True):
        assert found.task == found.expert == ("rain", "jpeg")[int(label)]
        for pixels, image in ((found.degraded, degraded), (found.clean, clean)):
            assert pixels.dtype == np.uint8
            assert np.allclose(pixels / 255, image[0].permute(1, 2, 0), atol=1e-6)
    assert [path.name for path in examples()] == [p.name for p in pairs][::2]


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(evaluate_command)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_command(tmp_path, make_model, command):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in examples()[:2]:
        with Image.open(path) as image:
            image.crop((0, 0, 80, 64)).save(photos / path.with_suffix(".png").name)
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(make_model()))
    words = ("--model", tmp_path / "best.pt", "--photos", photos, "--protocol", "rgb-border4", "-o", tmp_path / "out")
    done = command(*words)
    assert done.exit_code == 0, done.output
    assert "average" in done.output
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    model = lorair.load(tmp_path / "best.pt", device="cpu")
    expected = {name: [] for name in model.degradations}
    with torch.inference_mode():
        for degraded, clean, label in ValidationPairs(PhotographFolder(photos), model.degradations):
            restored = model(degraded)[0].permute(1, 2, 0).numpy()
            scores = PROTOCOLS["rgb-border4"].measure(restored, clean[0].permute(1, 2, 0).numpy())
            expected[model.degradations[int(label)]].append(scores.psnr)
    found = {task["task"]: task["psnr"] for task in record["tasks"]}
    assert found == pytest.approx({name: sum(values) / len(values) for name, values in expected.items()}, abs=1e-3)


def test_command_on_a_setting(tmp_path, make_model, command):
    """Rain100L as AirNet lays it out, beside a setting's other test sets cut away."""
    setting = Path(lorair.settings.__file__).with_name("three-task.toml").read_text()
    kept = [part for part in setting.split("[[")[1:] if not part.startswith("test") or '"Rain100L"' in part]
    own = tmp_path / "rain-only.toml"
    own.write_text(setting.split("[[")[0] + "[[" + "[[".join(kept))
    for side, seed in (("input", 0), ("target", 1)):
        for index in (1, 2):
            save(tmp_path / "data" / "test" / "derain" / "Rain100L" / side / f"{index}.png", 10 * seed + index)
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(make_model()))
    words = ("--model", tmp_path / "best.pt", "--setting", own, "--root", tmp_path / "data")
    done = command(*words, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output + str(done.exception)
    assert "37.75" in done.output
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert [(task["task"], task["images"], task["protocol"]) for task in record["tasks"]] == [
        ("Rain100L", 2, "rgb-float-crop16")
    ]
    assert "PromptIR" in [row["method"] for row in record["published"]]
    assert "37.75" not in command(*words, "--limit", 1, "--protocol", "basicsr-y").output


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_name_protocols(name, tmp_path):
    setting = load_setting(name, tmp_path)
    assert {setting.protocol, *(source.protocol for source in setting.test)} <= {*PROTOCOLS, None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give one of --setting"),
        (("--pairs", "a", "--photos", "b"), "give one of --setting"),
        (("--setting", "three-task"), "give one of --setting"),
        (("--photos", "b", "--limit", "3"), "give one of --setting"),
        (("--photos", "b", "--protocol", "best"), "unknown protocol 'best'"),
    ],
)
def test_mistakes(command, words, message):
    assert message in str(command(*words).exception)
