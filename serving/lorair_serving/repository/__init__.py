"""The model repository for Triton Inference Server: settings, configuration, writing, reading."""

from lorair_serving.repository.config import FRONT, RESTORER, ROUTER
from lorair_serving.repository.reading import Repository, RepositoryModel, read_repository
from lorair_serving.repository.settings import SERVICE, ServedModel, Service
from lorair_serving.repository.writing import PRIORS, write_repository

__all__ = [
    "FRONT",
    "PRIORS",
    "RESTORER",
    "ROUTER",
    "SERVICE",
    "Repository",
    "RepositoryModel",
    "ServedModel",
    "Service",
    "read_repository",
    "write_repository",
]
