"""How close a restored image is to the clean one, by the protocols of published tables."""

from lorair.evaluation.metrics.lpips import Lpips
from lorair.evaluation.metrics.protocols import PROTOCOLS, Protocol, Scores, protocol_named, unit_range

__all__ = ["PROTOCOLS", "Lpips", "Protocol", "Scores", "protocol_named", "unit_range"]
