"""The settings of the paper (arXiv 2410.15385) as data: one TOML file each, read into frozen dataclasses.

A setting says which data a model is trained and tested on, where a published archive keeps its files, how the
result is measured, and what others have published on it.
"""

from lorair.settings.files import SETTINGS, load_setting
from lorair.settings.setting import Count, Evidence, Published, Setting, Source, Synthesis

__all__ = [
    "SETTINGS", "Count", "Evidence", "Published", "Setting", "Source", "Synthesis", "load_setting",
]  # fmt: skip
