"""The processes that train together, one for each GPU, as torchrun starts them."""

import os
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lorair.system import resolve_device

# Only the first process writes checkpoints, while the others wait.
PATIENCE: Final = timedelta(hours=1)

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Items(Protocol[T_co]):
    """Whatever has a length and items by number."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


@dataclass(frozen=True)
class Processes:
    """This process, number `rank` of `count`, and the device that it trains on."""

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def share(self, items: "Items[T]") -> Iterator[T]:
        """This process's part of some items."""
        return (items[index] for index in range(self.rank, len(items), self.count))

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes, the same in each."""
        if self.count > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def wait(self) -> None:
        """Return when all processes have called this."""
        if self.count > 1:
            dist.barrier()


SINGLE: Final = Processes(torch.device("cpu"))


@contextmanager
def joined(device: str) -> Generator[Processes]:
    """Join the processes that torchrun has started; without it this one is the only one.

    `device` is auto, cpu, cuda or cuda:N; under torchrun each process of a machine takes the GPU of its own number.
    """
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Processes(resolve_device(device))
        return
    wanted = resolve_device(device)
    if wanted.type == "cuda":
        wanted = resolve_device(os.environ["LOCAL_RANK"])
        torch.cuda.set_device(wanted)
    dist.init_process_group("nccl" if wanted.type == "cuda" else "gloo", timeout=PATIENCE)
    # Said of the scales [1, c, 1, 1], whose channels-last strides are the contiguous ones under another name.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    try:
        yield Processes(wanted, dist.get_rank(), count)
    finally:
        dist.destroy_process_group()
