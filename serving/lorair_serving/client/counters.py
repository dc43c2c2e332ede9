"""The server's own counters of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelCounters:
    """What a server counted of one model: images or tiles, executions, where their time went, and what it had cached.

    ``batch_sizes`` is the number of executions by their batch size.
    """

    inferences: int
    executions: int
    queue_ms: float
    compute_ms: float
    cache_hits: int
    batch_sizes: Mapping[int, int]

    @property
    def mean_batch(self) -> float:
        """Images or tiles per execution."""
        return self.inferences / max(1, self.executions)

    def since(self, earlier: "ModelCounters") -> "ModelCounters":
        """What was counted after ``earlier``."""
        sizes = {size: count - earlier.batch_sizes.get(size, 0) for size, count in self.batch_sizes.items()}
        return ModelCounters(
            self.inferences - earlier.inferences,
            self.executions - earlier.executions,
            self.queue_ms - earlier.queue_ms,
            self.compute_ms - earlier.compute_ms,
            self.cache_hits - earlier.cache_hits,
            {size: count for size, count in sorted(sizes.items()) if count},
        )


def counters_from_statistics(statistics: Mapping[str, Any]) -> ModelCounters:
    """Of a message ModelStatistics as plain data, where numbers of 64 bits are strings and zeros are left out."""
    durations = statistics.get("inference_stats", {})
    return ModelCounters(
        int(statistics.get("inference_count", 0)),
        int(statistics.get("execution_count", 0)),
        int(durations.get("queue", {}).get("ns", 0)) / 1e6,
        int(durations.get("compute_infer", {}).get("ns", 0)) / 1e6,
        int(durations.get("cache_hit", {}).get("count", 0)),
        {
            int(entry["batch_size"]): int(entry.get("compute_infer", {}).get("count", 0))
            for entry in statistics.get("batch_stats", [])
        },
    )
