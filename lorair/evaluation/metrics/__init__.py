"""How close a restored image is to the clean one: for training, and by the protocols of published tables."""

from lorair.evaluation.metrics.batch import psnr
from lorair.evaluation.metrics.protocols import PROTOCOLS, Protocol, Scores, protocol_named

__all__ = ["PROTOCOLS", "Protocol", "Scores", "protocol_named", "psnr"]
