"""The records that a setting consists of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from lorair.degradations import severities

Evidence = Literal["verified", "computed", "recalled", "unknown"]
ANY_NAME: Final = r"(?P<name>(?P<stem>.+)\.[^.]+)"


@dataclass(frozen=True)
class Count:
    """How many pairs a source has as published, and how well that is known.

    `verified` was read where `origin` says, `computed` follows from a verified number, `recalled` is common knowledge
    that was not looked up.
    """

    evidence: Evidence = "unknown"
    pairs: int | None = None
    origin: str = ""


@dataclass(frozen=True)
class Synthesis:
    """A degradation of `lorair.degradations` that is applied when a clean image is read."""

    degradation: str
    severity: Mapping[str, int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.severity) - set(severities(self.degradation))):
            raise ValueError(f"{self.degradation} has no parameters {unknown}; it has {severities(self.degradation)}")


@dataclass(frozen=True)
class Source:
    """One benchmark's images of one split, by paths relative to the root of the data.

    Attributes:
        degraded: a glob. What a file's path has beyond the glob's fixed folders must match `pattern` whole, else
            it is not of this source; the pattern's named groups give the clean file's path.
        clean: format strings over those groups; the first that names a file is taken, so that one clean image may
            serve many degraded ones. With `synthesis` they are globs, and there are no degraded files.
        listed: a text file; where it is given, the source has only the paths on its lines, written as `pattern`
            matches them.
        paths: how well the folders are known.
        protocol: of the metrics, where it is not the setting's.
    """

    name: str
    tasks: tuple[str, ...]
    expert: str
    clean: tuple[str, ...]
    degraded: str | None = None
    pattern: str = ANY_NAME
    listed: str | None = None
    synthesis: Synthesis | None = None
    count: Count = Count()
    paths: Evidence = "verified"
    protocol: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if (self.degraded is None) == (self.synthesis is None):
            raise ValueError(f"source {self.name}: give either `degraded` files or a `synthesis`, not both or neither")
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise ValueError(
                f"source {self.name}: the pattern {self.pattern!r} is no regular expression: {error}"
            ) from error
        if self.synthesis is None and (unknown := set(re.findall(r"{(\w*)}", " ".join(self.clean))) - set(groups)):
            raise ValueError(f"source {self.name}: the pattern has no groups {sorted(unknown)}, which `clean` names")


@dataclass(frozen=True)
class Published:
    """A method's figures by benchmark, in the order of the setting's `metrics`; later ones may be missing.

    `unknown` names benchmarks of which no figure was found.
    """

    method: str
    source: str
    figures: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    evidence: Evidence = "verified"


@dataclass(frozen=True)
class Setting:
    """Tasks, experts, data, measurement and published figures.

    `experts` names the model's experts in the order of its labels; a source's images are one expert's each.
    `overrides` changes numbers of the recipe by stage. `protocol` names the metrics' protocol.
    """

    title: str
    tasks: tuple[str, ...]
    experts: tuple[str, ...]
    protocol: str
    train: tuple[Source, ...]
    test: tuple[Source, ...]
    top_k: int = 1
    recipe: str = "published"
    overrides: Mapping[str, Mapping[str, int | float]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ("PSNR", "SSIM")
    published: tuple[Published, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        for source in (*self.train, *self.test):
            if source.expert not in self.experts or not set(source.tasks) <= set(self.tasks):
                raise ValueError(
                    f"source {source.name}: expert {source.expert!r} and tasks {source.tasks} must be among "
                    f"{self.experts} and {self.tasks}"
                )
        if missing := [name for name in self.experts if all(source.expert != name for source in self.train)]:
            raise ValueError(f"no source trains the experts {', '.join(missing)}; name one, or leave them out")
