"""Exit codes and messages of the command `lorair`."""

import shutil
from importlib.metadata import version

import pytest
import torch

from lorair.checkpoints import CheckpointFacts, checkpoint_of, refer_to_clip, write_checkpoint
from lorair.cli import console


@pytest.fixture
def lorair(run_command, capsys):
    """Run `lorair`; its exit code, stdout and stderr."""

    def run(*arguments):
        code = run_command("lorair", *arguments)
        return code, *capsys.readouterr()

    return run


def test_info(lorair, make_model, read_json, tmp_path):
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(make_model(), training={"steps": 5}))
    code, out, _ = lorair("info", tmp_path / "best.pt")
    assert code == 0 and "noise, rain, haze, snow" in out and "steps 5" in out and out.count("\n") == 10
    code, out, _ = lorair("info", tmp_path / "best.pt", "--json")
    facts = read_json(CheckpointFacts, out)
    assert code == 0 and facts["training"] == {"steps": 5}
    assert facts["degradations"] == ["noise", "rain", "haze", "snow"]
    assert facts["parameters"]["experts"] > 0 and facts["restorer"]["encoder_blocks"] == [1, 2]
    write_checkpoint(tmp_path / "named.pt", refer_to_clip(checkpoint_of(make_model()), "ViT-L-14-336/openai"))
    code, out, _ = lorair("info", tmp_path / "named.pt", "--json")
    assert read_json(CheckpointFacts, out)["clip"]["tag"] == "openai"


def test_bad_checkpoints_end_with_one_sentence(lorair, tmp_path):
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04")
    for name in ("cut.pt", "absent.pt"):
        code, out, err = lorair("info", tmp_path / name)
        assert code == 1 and out == "" and err.count("\n") == 1 and name in err and "Traceback" not in err


def test_a_folder_that_cannot_be_copied_is_one_sentence(tmp_path, capsys):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "model.onnx").symlink_to("nowhere")
    with pytest.raises(SystemExit) as ended:
        console.run(lambda: shutil.copytree(tmp_path / "bundle", tmp_path / "copy"))
    err = capsys.readouterr().err
    assert ended.value.code == 3 and err.startswith("error: ") and err.count("\n") == 1 and "No such file" in err


def test_wrong_usage_is_2(lorair, tmp_path, make_model):
    assert lorair("restore")[0] == 2
    assert lorair("info", "--nonsense")[0] == 2
    code, _, err = lorair("restore", tmp_path / "absent.jpg")
    assert code == 2 and "absent.jpg" in err
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(make_model()))
    code, _, err = lorair("convert", "--restorer", "a", "--router", "b", "-o", tmp_path / "best.pt")
    assert code == 2 and "exists" in err


def test_a_missing_gpu_is_3(lorair, tmp_path, make_model):
    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    write_checkpoint(tmp_path / "best.pt", checkpoint_of(make_model()))
    (tmp_path / "a.png").write_bytes(b"")
    code, _, err = lorair("restore", tmp_path / "a.png", "--model", tmp_path / "best.pt", "--device", "cuda")
    assert code == 3 and "sees no such GPU" in err


@pytest.mark.parametrize("program", ["lorair", "lorair-export", "lorair-bench", "lorair-serve"])
def test_every_program_prints_its_version(run_command, capsys, program):
    assert run_command(program, "--version") == 0
    assert capsys.readouterr().out == f"lorair {version('lorair')}\n"
