"""A service's settings and what its models know of each other: the repository carries both."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lorair.plain_data import dataclass_from_dict, dict_from_dataclass

SERVICE = "service"
_POSITIVE = ("tile", "max_batch", "workers", "max_waiting", "max_pixels", "max_bytes", "max_streams", "instances")
_NOT_NEGATIVE = ("batch_delay_ms", "max_wait_s", "refresh_s", "cache_mib")


@dataclass(frozen=True)
class Service:
    """Settings of a served model; ValueError where they contradict each other.

    Images of all sizes are restored in tiles of ``tile`` pixels a side, blended over ``overlap``, so that the
    tiles of different images share a batch of at most ``max_batch``; a tile waits up to ``batch_delay_ms`` for
    others.

    Attributes:
        instances: processes that restore; None for one, or one per core by our own runtimes on ``device`` "cpu".
        workers: images decoded, blended and encoded at a time.
        max_waiting: images that wait for a worker; further ones are rejected.
        max_wait_s: seconds that an image may wait.
        max_pixels, max_bytes: of an image and its file; larger ones are rejected before they are decoded.
        max_streams: streams whose routing is kept.
        refresh_s: seconds until the images of a stream are routed again.
        cache_mib: MiB of restored tiles kept for tiles with the same samples.
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
        for name in _POSITIVE:
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"{name} must be at least 1; got {number}")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative; got {getattr(self, name)}")
        if not 0 <= self.overlap <= self.tile // 2:
            raise ValueError(f"overlap must be from 0 to {self.tile // 2} for tiles of {self.tile}; got {self.overlap}")


@dataclass(frozen=True)
class ServedModel:
    """What the models of a repository know of each other.

    ``view_size`` is the side of the router's views in pixels, None where the restorer's artefact routes by itself and
    takes only the image. ``artefact`` is the file that a model of the Python backend opens.
    """

    degradations: tuple[str, ...]
    view_size: int | None
    prior_dim: int
    artefact: str
    service: Service

    def to_json(self) -> str:
        """As the parameter ``service`` of a model's configuration carries it."""
        return json.dumps(dict_from_dataclass(self))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ServedModel":
        """Of a model's own configuration as plain data, as Triton passes it to a model of the Python backend."""
        return cls.from_json(config["parameters"][SERVICE]["string_value"])

    @classmethod
    def from_json(cls, text: str) -> "ServedModel":
        """The inverse of :meth:`to_json`; ValueError names a field that is missing, unknown or of a wrong type."""
        return dataclass_from_dict(cls, json.loads(text), "the model repository")
