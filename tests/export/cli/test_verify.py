"""`lorair-export verify`: what is compared, what is printed, and 6 where it differs."""

from dataclasses import replace

import pytest
from lorair_export import Verification

from lorair.checkpoints import read_checkpoint, write_checkpoint


@pytest.fixture
def verify(merged, run_command):
    def run(*options, bundle=merged.folder, model=merged.checkpoint):
        return run_command("lorair-export", "verify", bundle, "--model", model, *options)

    return run


def test_a_bundle_restores_what_its_model_restores(verify, capsys, tmp_path, read_json):
    assert verify("--json", "--log-file", str(tmp_path / "log.txt")) == 0
    printed = capsys.readouterr()
    told = read_json(Verification, printed.out)
    assert (told["runtime"], told["precision"], told["tolerance"]["psnr_db"]) == ("onnx", "fp32", 80)
    assert min(record["psnr_db"] for record in told["records"]) > 80 and len(told["records"]) >= 3
    assert "restores what" in printed.err and "restores what" in (tmp_path / "log.txt").read_text()


def test_another_model_has_an_exit_code_of_its_own(verify, merged, tmp_path, capsys):
    """One weight of the last convolution is off."""
    checkpoint = read_checkpoint(merged.checkpoint)
    state = dict(checkpoint.state)
    name = next(name for name in state if name.endswith("ending.weight"))
    state[name] = state[name] + 0.01
    other = tmp_path / "other.pt"
    write_checkpoint(other, replace(checkpoint, state=state))
    assert verify("--quiet", "--log-file", str(tmp_path / "log.txt"), model=other) == 6
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: accuracy check failed at ")
    assert "nothing was written" not in printed.err and "accuracy check failed" in (tmp_path / "log.txt").read_text()


def test_any_runtime_is_checked(verify, merged, capsys):
    assert verify(bundle=f"openvino:{merged.folder}") == 0
    assert verify(bundle=merged.checkpoint) == 0
    assert "openvino:" in capsys.readouterr().err


def test_a_folder_that_is_no_bundle_is_rejected(verify, tmp_path, capsys):
    assert verify(bundle=tmp_path) == 2
    assert "manifest.json" in capsys.readouterr().err
