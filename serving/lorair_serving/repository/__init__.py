"""The model repository for Triton Inference Server: settings, configuration, writing."""

from lorair_serving.repository.config import FRONT, RESTORER, ROUTER, Message
from lorair_serving.repository.service import BUSY, SERVICE, ServedModel, Service
from lorair_serving.repository.writing import PRIORS, configs_of, write_repository

__all__ = [
    "BUSY",
    "FRONT",
    "PRIORS",
    "RESTORER",
    "ROUTER",
    "SERVICE",
    "Message",
    "ServedModel",
    "Service",
    "configs_of",
    "write_repository",
]
