"""Commands and code of the README run as they stand, on a small model; those of the guides are parsed."""

import io
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from lorair_export.bench.published import published_params
from lorair_export.cli import app as export_app
from lorair_export.cli.bench import app as bench_app
from lorair_serving.cli import app as serve_app
from lorair_serving.repository.writing import write_repository
from lorair_serving.server.ports import Ports
from lorair_serving.server.process import running_server
from PIL import Image
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from typer.main import get_command

import lorair
from lorair.checkpoints import checkpoint_of, write_checkpoint
from lorair.cli import app
from lorair.photographs import examples

ROOT = Path(__file__).parents[1]
GUIDES = sorted((ROOT / "docs").glob("*.md"))
APPS = {"lorair": app, "lorair-export": export_app, "lorair-bench": bench_app, "lorair-serve": serve_app}
# Of these the options are checked, no more.
LONG = ("lorair train all", "lorair data check", "lorair-bench", "lorair-serve up", "lorair-serve load")
SERVICE = "127.0.0.1:8001"


def blocks(language, page=ROOT / "README.md"):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(*pages):
    text = "".join(block for page in pages for block in blocks("sh", page))
    text = re.sub(r"\\\n\s*", "", text)
    lines = [
        re.sub("^torchrun .* --no-python |^[A-Z_]+=\\S+ ", "", line.split(" #")[0].strip())
        for line in text.splitlines()
    ]
    return list(dict.fromkeys(line for line in lines if line.split(" ")[0] in APPS and "..." not in line))


def parsed(line):
    """The command line's command and its words, once every option in it is known."""
    program, *words = shlex.split(line)
    command, rest = get_command(APPS[program]), words
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(program, list(rest))
    return get_command(APPS[program]), words


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with every file that the README names."""
    folder = tmp_path_factory.mktemp("readme")
    small = Image.open(examples()[0]).convert("RGB").resize((96, 64))
    for name in ("bundle", "bundle-trt", "report"):
        (folder / name).mkdir()
    (folder / "report/latency.json").write_text("{}")
    names = ("photo.jpg", "photo.png", "photos/a.jpg", "PHOTOS/train/a.jpg", "PHOTOS/val/a.jpg", "huge.tif")
    for name in (*names, "pairs/rain/input/a.png", "pairs/rain/target/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        small.save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def published_pair(workplace, make_model, monkeypatch):
    monkeypatch.chdir(workplace)
    if not Path("best.pt").exists():
        model = make_model()
        write_checkpoint("best.pt", checkpoint_of(model))
        tower = CLIPVisionModelWithProjection(
            CLIPVisionConfig(
                hidden_size=64,
                intermediate_size=64,
                num_hidden_layers=1,
                num_attention_heads=1,
                image_size=28,
                patch_size=7,
                projection_dim=16,
            )
        )
        router = {f"clip_model.vision_tower.{name}": tensor for name, tensor in tower.state_dict().items()}
        for name, shape in {"de_extractor.0": (16, 32), "de_extractor.2": (8, 16), "cls_head": (4, 8)}.items():
            router |= {f"{name}.weight": torch.zeros(shape), f"{name}.bias": torch.arange(float(shape[0]))}
        torch.save({"params": router}, "setting1_router.pth")
        torch.save({"params": published_params(model.restorer.net)}, "setting1_ir.pth")


@pytest.fixture(scope="module")
def service(can_serve, tmp_path_factory):
    repository = tmp_path_factory.mktemp("service") / "repository"
    write_repository("default", repository)
    with running_server(repository, Ports.free()) as server:
        yield f"127.0.0.1:{server.ports.grpc}"


@pytest.mark.parametrize("line", commands(ROOT / "README.md"))
def test_command(line):
    command, words = parsed(line)
    if line.startswith(LONG):
        return
    for index, word in enumerate(words[:-1]):
        if word in ("-o", "--output"):
            shutil.rmtree(words[index + 1], ignore_errors=True)
            Path(words[index + 1]).unlink(missing_ok=True)
    command(words, standalone_mode=False)


@pytest.mark.parametrize("line", commands(*GUIDES))
def test_command_of_a_guide(line):
    parsed(line)


def test_the_pages_have_commands_of_every_kind():
    verbs = {" ".join(line.split(" ")[:2]) for line in commands(ROOT / "README.md")}
    assert {"lorair restore", "lorair train", "lorair-export onnx", "lorair-export trt", "lorair-serve up"} <= verbs
    assert len(commands(*GUIDES)) > 20


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().split()) <= 900


def test_python():
    code = blocks("python")[0]
    names = {"photo": np.asarray(Image.open("photo.png")), "other_photo": Image.open("photo.jpg")}
    names["images"] = torch.rand(2, 3, 20, 30)
    with torch.inference_mode():
        exec(code.replace('device="cuda"', 'device="cpu"'), names)
    assert names["restored"][0].shape == names["photo"].shape
    assert names["images"].shape == (2, 3, 20, 30)
    assert isinstance(names["model"], lorair.LoRAIR)


def test_python_of_the_client(service):
    code = blocks("python", ROOT / "docs/serving.md")[0].replace(SERVICE, service)
    names = {"photo_bytes": Path("photo.jpg").read_bytes()}
    exec(code, names)
    assert names["answer"].degradation == "rain" and Image.open(io.BytesIO(names["answer"].image)).size == (96, 64)
