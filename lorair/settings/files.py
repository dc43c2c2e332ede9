"""Load settings from the package, a TOML file, or folders of pairs."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Final

from lorair.plain_data import dataclass_from_dict
from lorair.settings.setting import Setting, Source

SETTINGS: Final = (
    "adverse-weather", "real-weather-stream", "real-weather-wgws", "three-task", "five-task", "ten-task",
)  # fmt: skip
PAIRS: Final = "pairs"


def load_setting(name: str, root: Path) -> Setting:
    """The setting of that name, of a TOML file's path, or, named `pairs`, of the task folders below `root`.

    Raises ValueError where the setting is unknown or invalid.
    """
    if name == PAIRS:
        return _folders_of_pairs(root)
    if name in SETTINGS:
        text = files("lorair.settings").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif name.endswith(".toml") and Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise ValueError(f"unknown setting {name!r}; choose one of {', '.join(SETTINGS)}, {PAIRS} or a .toml file")
    try:
        return dataclass_from_dict(Setting, tomllib.loads(text), name)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name} is not TOML: {error}") from error


def _folders_of_pairs(root: Path) -> Setting:
    """ROOT/{train,test}/TASK/{degraded,clean}/NAME, one expert per task folder, in name order."""
    tasks = tuple(sorted(folder.parent.name for folder in root.glob("train/*/degraded")))
    if not tasks:
        raise ValueError(f"no pairs in {root}; expected train/TASK/degraded, train/TASK/clean and test/...")
    if unfit := [task for task in tasks if not re.fullmatch(r"[\w.+ -]+", task)]:
        raise ValueError(f"names of task folders may have only letters, digits and _.+-; rename {unfit}")
    tested = [task for task in tasks if (root / "test" / task).is_dir()]
    return Setting(
        title=f"pairs of {root}",
        tasks=tasks,
        experts=tasks,
        protocol="basicsr-rgb",
        train=tuple(_task_folder("train", task) for task in tasks),
        test=tuple(_task_folder("test", task) for task in tested),
    )


def _task_folder(split: str, task: str) -> Source:
    folder = f"{split}/{task}"
    clean = (f"{folder}/clean/{{name}}", f"{folder}/clean/{{stem}}.png")
    return Source(task, (task,), task, clean, degraded=f"{folder}/degraded/*")
