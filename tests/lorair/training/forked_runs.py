"""Training runs in processes of their own: killed at random moments, or several side by side.

A script, run by test_forked_runs.py, since only a process that has not computed anything yet can be forked:
forked_runs.py CONFIG PHOTOGRAPHS FOLDER KILLS
"""

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import torch
import torch.utils.tensorboard
from rich.console import Console

from lorair.data import CropShapes, PhotographFolder
from lorair.model import config_from_dict
from lorair.training import ORDER, Photographs, StageRecipe, TrainingRun


def train(folder: Path) -> None:
    torch.set_num_threads(1)
    config = config_from_dict(json.loads(sys.argv[1]))
    photographs = PhotographFolder(Path(sys.argv[2]))
    stage = StageRecipe(
        steps=6,
        batch_size=4,
        shapes=CropShapes(24, 24),
        learning_rate=1e-3,
        final_learning_rate=1e-4,
        trained="all",
        gates="router",
        gradient_clip=1.0,
        ema=0.5,
        validate_every=2,
    )
    data = Photographs(photographs, photographs, config.degradations)
    run = TrainingRun(folder, config, dict.fromkeys(ORDER, stage), data, device="cpu", workers=0)
    run.train(ORDER, Console(quiet=True))


def forked(folder: Path, **environment: object) -> int:
    process = os.fork()
    if process == 0:
        os.environ |= {name: str(value) for name, value in environment.items()}
        try:
            train(folder)
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return process


def together(folder: Path, count: int) -> None:
    """As torchrun starts processes on one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": count}
    for process in [forked(folder, **shared, RANK=rank, LOCAL_RANK=rank) for rank in range(count)]:
        assert os.waitpid(process, 0)[1] == 0


def killed(folder: Path, seconds: float, wanted: int) -> None:
    """Kill runs until there were so many kills. A killed run is resumed in its folder; one that ended is left."""
    moments = random.Random(0)
    kills = finished = 0
    while kills < wanted or not finished:
        process = forked(folder / str(finished))
        time.sleep(moments.uniform(0.05, seconds / 2))
        if kills < wanted:
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WIFSIGNALED(status):
            kills += 1
        else:
            assert status == 0
            finished += 1


if __name__ == "__main__":
    folder = Path(sys.argv[3])
    started = time.monotonic()
    together(folder / "alone", 1)
    seconds = time.monotonic() - started
    together(folder / "together", 2)
    killed(folder / "killed", seconds, int(sys.argv[4]))
