"""`lorair evaluate` on a small model, against the same figures computed one by one."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lorair
import lorair.settings
from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.data import PhotographFolder, ValidationPairs
from lorair.evaluation import PROTOCOLS, EvaluationReport
from lorair.photographs import examples
from lorair.settings import SETTINGS, load_setting


@pytest.fixture
def command(run_command, capsys):
    def run(*words):
        return (run_command("lorair", "evaluate", *words), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def best(make_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "best.pt"
    write_checkpoint(path, checkpoint_of(make_model()))
    return path


def test_command(tmp_path, best, command):
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in examples()[:2]:
        with Image.open(path) as image:
            image.crop((0, 0, 80, 64)).save(photos / path.with_suffix(".png").name)
    words = ("--model", best, "--photos", photos, "--protocol", "rgb-border4", "-o", tmp_path / "out")
    code, out, err = command(*words)
    assert code == 0, err
    assert "average" in out
    record = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    model = lorair.load(best, device="cpu")
    expected = {name: [] for name in model.degradations}
    with torch.inference_mode():
        for degraded, clean, label in ValidationPairs(PhotographFolder(photos), model.degradations):
            restored = model(degraded)[0].permute(1, 2, 0).numpy()
            scores = PROTOCOLS["rgb-border4"].measure(restored, clean[0].permute(1, 2, 0).numpy())
            expected[model.degradations[int(label)]].append(scores.psnr)
    found = {task["task"]: task["psnr"] for task in record["tasks"]}
    assert found == pytest.approx({name: sum(values) / len(values) for name, values in expected.items()}, abs=1e-3)


def test_command_on_a_setting(tmp_path, best, command, save, read_json):
    """Rain100L as AirNet lays it out; the setting's other test sets are left out."""
    setting = Path(lorair.settings.__file__).with_name("three-task.toml").read_text()
    kept = [part for part in setting.split("[[")[1:] if not part.startswith("test") or '"Rain100L"' in part]
    own = tmp_path / "rain-only.toml"
    own.write_text(setting.split("[[")[0] + "[[" + "[[".join(kept))
    for side, seed in (("input", 0), ("target", 1)):
        for index in (1, 2):
            save(tmp_path / "data" / "test" / "derain" / "Rain100L" / side / f"{index}.png", 10 * seed + index)
    words = ("--model", best, "--setting", own, "--root", tmp_path / "data")
    code, out, err = command(*words)
    assert code == 0, err
    assert "37.75" in out
    code, out, _ = command(*words, "--json", "-o", tmp_path / "out")
    record = read_json(EvaluationReport, out)
    assert code == 0 and record["tasks"] == json.loads((tmp_path / "out" / "evaluation.json").read_text())["tasks"]
    assert [(task["task"], task["images"], task["protocol"]) for task in record["tasks"]] == [
        ("Rain100L", 2, "rgb-float-crop16")
    ]
    assert "PromptIR" in [row["method"] for row in record["published"]]
    assert "37.75" not in command(*words, "--limit", 1, "--protocol", "basicsr-y")[1]


def test_pairs_have_the_same_figures_as_a_setting_and_as_folders(tmp_path, best, command):
    """Figures of 8-bit colour, 16-bit gray and a turned JPEG, not rounded to 8 bits."""
    folder = tmp_path / "test" / "mist"
    rng = np.random.default_rng(0)
    colour = [rng.integers(0, 256, (48, 40, 3), np.uint8) for _ in range(2)]
    gray = [rng.integers(0, 65536, (48, 40), np.uint16) for _ in range(2)]
    turned = Image.Exif()
    turned[0x0112] = 6
    for side, pixels, deep in zip(("degraded", "clean"), colour, gray, strict=True):
        for split in ("train", "test"):
            (tmp_path / split / "mist" / side).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / side / "colour.png")
        Image.fromarray(pixels).save(folder / side / "turned.jpg", exif=turned)
        Image.fromarray(deep).save(folder / side / "gray.png")
    figures = []
    for words in (("--setting", "pairs", "--root", tmp_path), ("--pairs", tmp_path / "test")):
        report = tmp_path / words[0].strip("-")
        code, _, err = command("--model", best, *words, "--protocol", "wgws-rgb", "-o", report)
        assert code == 0, err
        rows = list(csv.DictReader((report / "images.csv").read_text().splitlines()))
        figures.append({Path(row["name"]).name: (float(row["input_psnr"]), float(row["psnr"])) for row in rows})
    assert figures[0] == figures[1] and len(figures[0]) == 3
    for name, (degraded, clean), top in (("colour.png", colour, 255), ("gray.png", gray, 65535)):
        mse = np.square((degraded.astype(np.float64) - clean) / top).mean()
        assert figures[0][name][0] == pytest.approx(-10 * np.log10(mse), abs=1e-9)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_name_protocols(name, tmp_path):
    setting = load_setting(name, tmp_path)
    assert {setting.protocol, *(source.protocol for source in setting.test)} <= {*PROTOCOLS, None}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give exactly one of --setting"),
        (("--pairs", "a", "--photos", "b"), "give exactly one of --setting"),
        (("--setting", "three-task"), "give exactly one of --setting"),
        (("--photos", "b", "--limit", "3"), "give exactly one of --setting"),
        (("--photos", "b", "--protocol", "best"), "unknown protocol 'best'"),
    ],
)
def test_mistakes(command, words, message):
    code, _, err = command(*words)
    assert code == 2 and message in err
