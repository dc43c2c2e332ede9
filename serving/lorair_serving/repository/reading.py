"""What a server needs to know of a repository that is on disk."""

from dataclasses import dataclass
from pathlib import Path

from lorair_serving.errors import ServingError
from lorair_serving.repository.config import FRONT
from lorair_serving.repository.protobuf import config_from_text
from lorair_serving.repository.settings import ServedModel, Service
from lorair_serving.repository.writing import CONFIG


@dataclass(frozen=True)
class RepositoryModel:
    """One model of a repository: what runs it, and in how many instances, which are processes of the Python backend."""

    backend: str
    instances: int


@dataclass(frozen=True)
class Repository:
    """The models of a repository by name, and the settings of the service that they make."""

    models: dict[str, RepositoryModel]
    service: Service


def read_repository(folder: Path) -> Repository:
    """Read what ``write_repository`` wrote; ServingError where the folder is no such repository."""
    configs = {path.parent.name: config_from_text(path.read_text()) for path in sorted(folder.glob(f"*/{CONFIG}"))}
    if FRONT not in configs:
        raise ServingError(f"{folder} is no model repository of lorair; write one with 'lorair-serve repo -o {folder}'")
    models = {
        name: RepositoryModel(config["backend"], config["instance_group"][0]["count"])
        for name, config in configs.items()
    }
    return Repository(models, ServedModel.from_config(configs[FRONT]).service)
