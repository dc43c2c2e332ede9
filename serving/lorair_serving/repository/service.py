"""What a service is made of and what it takes; the repository carries it, and the models in it obey it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

SERVICE = "service"
BUSY = "come back later"  # by these words a client tells a refusal from a connection lost


@dataclass(frozen=True)
class Service:
    """Settings of a served model; ValueError where they contradict each other.

    Images of all sizes are restored in tiles of ``tile`` pixels a side, blended over ``overlap``, so that the
    tiles of different images share a batch of at most ``max_batch``; a tile waits up to ``batch_delay_ms`` for
    others. ``instances`` processes restore, None for one, or one per core by our own runtimes on ``device``
    "cpu". At most ``workers`` images are under way and ``max_waiting`` wait, for ``max_wait_s`` seconds;
    further ones are refused, and so is, before it is decoded, an image of more than ``max_pixels`` or a file of more
    than ``max_bytes``. The images of a stream are routed anew every ``refresh_s`` seconds. ``cache_mib`` MiB keep
    what tiles became, for tiles that come again to the last bit.
    """

    tile: int = 256
    overlap: int = 32
    max_batch: int = 8
    batch_delay_ms: float = 5
    instances: int | None = None
    workers: int = 16
    max_waiting: int = 256
    max_wait_s: float = 60
    max_pixels: int = 50_000_000
    max_bytes: int = 64 * 2**20
    max_streams: int = 1024
    refresh_s: float = 1
    cache_mib: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in (
            "tile",
            "max_batch",
            "workers",
            "max_waiting",
            "max_pixels",
            "max_bytes",
            "max_streams",
            "instances",
        ):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1; got {number}")
        if not 0 <= self.overlap <= self.tile // 2:
            raise ValueError(f"tiles of {self.tile} pixels overlap by 0 to {self.tile // 2}; got {self.overlap}")
        for name in ("batch_delay_ms", "max_wait_s", "refresh_s", "cache_mib"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")


@dataclass(frozen=True)
class ServedModel:
    """What the models of a repository know of each other.

    ``view_size`` is the side of the router's views, None where the restorer's artefact routes by itself and takes
    the image alone. ``artefact`` is the file that a model of Python opens.
    """

    degradations: tuple[str, ...]
    view_size: int | None
    prior_dim: int
    artefact: str
    service: Service

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ServedModel":
        """What a model's own configuration, as Triton hands it over, carries in its parameters."""
        return cls.from_json(config["parameters"][SERVICE]["string_value"])

    @classmethod
    def from_json(cls, text: str) -> "ServedModel":
        """The inverse of :meth:`to_json`."""
        plain = json.loads(text)
        model = cls(**{**plain, "service": Service(**plain["service"])})
        return replace(model, degradations=tuple(model.degradations))
