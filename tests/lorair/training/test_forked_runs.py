"""Whole runs: by two processes, and killed again and again, each compared with one that was left in peace."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lorair.checkpoints import read_checkpoint
from lorair.model import ModelConfig, config_to_dict

SCRIPT = Path(__file__).with_name("forked_runs.py")
STAGES = ("router", "pretrain", "finetune", "best")


@pytest.fixture(scope="module")
def small_config(make_model) -> ModelConfig:
    """One layer of each kind."""
    config = make_model().config
    router = replace(config.router, tower=replace(config.router.tower, layers=1))
    restorer = replace(config.restorer, encoder_blocks=(1,), decoder_blocks=(1,))
    return replace(config, router=router, restorer=restorer)


@pytest.fixture(scope="module", params=[2, pytest.param(10, marks=pytest.mark.full)], ids="{} kills".format)
def runs(request, small_config, photograph_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    config = json.dumps(config_to_dict(small_config))
    command = [sys.executable, SCRIPT, config, photograph_folder, folder, str(request.param)]
    subprocess.run(command, check=True, timeout=600)
    return folder


def tensors(runs: Path, stage: str) -> dict[str, torch.Tensor]:
    checkpoint = read_checkpoint(runs / f"{stage}.pt")
    assert checkpoint.mean_priors is not None
    return {"mean_priors": checkpoint.mean_priors, **checkpoint.state}


def test_two_processes_learn_what_one_does(runs) -> None:
    for stage in STAGES:
        alone, together = tensors(runs / "alone", stage), tensors(runs / "together", stage)
        for name, tensor in alone.items():
            mine, other = together[name], tensor
            if name.endswith("attn.in_proj_bias"):  # a key's bias changes no attention: Adam scales up its rounding
                mine, other = (torch.cat(rows.chunk(3)[::2]) for rows in (mine, other))
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-5, msg=f"{stage} {name}")
    launches = json.loads((runs / "together" / "run.json").read_text())
    assert [launch["processes"] for launch in launches] == [2]


def test_a_run_killed_at_any_moments_ends_as_one_that_was_not(runs) -> None:
    ended = [path for path in (runs / "killed").iterdir() if len(list(path.glob("states/finetune-*06.state")))]
    assert ended
    for stage in STAGES:
        alone = tensors(runs / "alone", stage)
        for path in ended:
            killed = tensors(path, stage)
            assert all(torch.equal(killed[name], tensor) for name, tensor in alone.items())
        assert not list(runs.rglob(".lorair-*"))
