"""Whole runs: by two processes, and killed again and again, each beside one that nothing happened to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lorair.checkpoints import read_checkpoint
from lorair.model.config import config_to_dict

SCRIPT = Path(__file__).with_name("forked_runs.py")
STAGES = ("router", "pretrain", "finetune", "best")


@pytest.fixture
def runs(small_config, photograph_folder, tmp_path: Path):
    def run(what: str) -> Path:
        config = json.dumps(config_to_dict(small_config))
        subprocess.run([sys.executable, SCRIPT, what, config, photograph_folder, tmp_path], check=True, timeout=600)
        return tmp_path

    return run


def tensors(folder: Path, stage: str) -> dict[str, torch.Tensor]:
    checkpoint = read_checkpoint(folder / f"{stage}.pt")
    assert checkpoint.mean_priors is not None
    return {"mean_priors": checkpoint.mean_priors, **checkpoint.state}


def test_two_processes_learn_what_one_does(runs) -> None:
    folder = runs("together")
    for stage in STAGES:
        alone, together = tensors(folder / "alone", stage), tensors(folder / "together", stage)
        for name, tensor in alone.items():
            mine, other = together[name], tensor
            if name.endswith("attn.in_proj_bias"):  # a key's bias changes no attention: Adam scales up its rounding
                mine, other = (torch.cat(rows.chunk(3)[::2]) for rows in (mine, other))
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5, msg=f"{stage} {name}")
    launches = json.loads((folder / "together" / "run.json").read_text())
    assert [launch["processes"] for launch in launches] == [2]


def test_a_run_killed_at_any_moments_ends_as_one_that_was_not(runs) -> None:
    folder = runs("killed")
    ended = [path for path in (folder / "killed").iterdir() if len(list(path.glob("states/finetune-*12.state")))]
    assert ended
    for stage in STAGES:
        alone = tensors(folder / "alone", stage)
        for path in ended:
            killed = tensors(path, stage)
            assert all(torch.equal(killed[name], tensor) for name, tensor in alone.items())
        assert not list(folder.rglob(".lorair-*"))
