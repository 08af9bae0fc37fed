"""Processes that share every step of one training run: how they start alike, add up, and agree.

Rank 0 alone charges the budget, writes and decides; the others learn it here. They speak through torch.distributed, in
tensors and JSON. A process that dies closes its connections, so the others fail at their next word instead of waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import distributed, nn

from governance import errors
from governance.errors import ConfigError, SteelyardError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those that train together; with `size` above 1, torch.distributed must be set up.

    Attributes:
        rank: of this process.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    def first(self, act: Callable[[], T]) -> T:
        """What rank 0 gets by doing this (a JSON value), on every rank.

        Raises:
            SteelyardError: rank 0's, on every rank.
        """
        if self.size == 1:
            return act()
        value: T = _unpacked(self._heard(_packed(act) if self.rank == 0 else None)[0])
        return value

    def every(self, act: Callable[[], None]) -> None:
        """Do this on every rank; if it fails on one, it fails on all.

        Raises:
            SteelyardError: of the lowest rank that failed.
        """
        if self.size == 1:
            act()
            return
        for said in self._heard(_packed(act)):
            _unpacked(said)

    def check_same(self, value: object, what: str) -> None:
        """That every rank holds the same JSON value.

        Raises:
            ConfigError: one doesn't; `what` names it.
        """
        if self.size > 1 and any(other != value for other in self._heard(value)):
            raise ConfigError(
                f"distributed training: {what} differ from process to process; all need the same rows, settings and "
                "versions"
            )

    def add(self, tensor: torch.Tensor) -> None:
        """Make a tensor the sum of all ranks' tensors."""
        if self.size > 1:
            distributed.all_reduce(tensor)

    def share(self, model: nn.Module) -> None:
        """Give every rank the parameters and buffers of rank 0's model."""
        if self.size > 1:
            from opacus.distributed import DifferentiallyPrivateDistributedDataParallel

            DifferentiallyPrivateDistributedDataParallel(model)  # it copies parameters when it is made
            for buffer in model.buffers():
                held = buffer.detach().contiguous()
                distributed.broadcast(held, 0)
                buffer.copy_(held)

    def copy(self, directory: Path, pattern: str) -> None:
        """Give every rank those files of rank 0's directory; the other ranks' directories are their own."""
        if self.size == 1:
            return
        found = self.first(
            lambda: [(p.relative_to(directory).as_posix(), p.stat().st_size) for p in _files(directory, pattern)]
        )
        for name, size in found:
            path = directory / name
            content = bytearray(path.read_bytes() if self.rank == 0 else size)
            if content:
                distributed.broadcast(torch.frombuffer(content, dtype=torch.uint8), 0)
            if self.rank:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def _heard(self, said: object) -> list[Any]:
        """Every rank's JSON value, in the order of ranks."""
        own = torch.frombuffer(bytearray(json.dumps(said).encode()), dtype=torch.uint8)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(own)]))
        longest = max(int(length) for length in lengths)
        found = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        distributed.all_gather(found, nn.functional.pad(own, (0, longest - len(own))))
        return [json.loads(bytes(each[: int(n)].tolist())) for each, n in zip(found, lengths, strict=True)]


ALONE = Group()
"""The only process of its run."""


def error_named(name: str, message: str) -> SteelyardError:
    """An error that another process raised."""
    kind = getattr(errors, name, SteelyardError)
    return kind(message) if issubclass(kind, SteelyardError) else SteelyardError(message)


def _files(directory: Path, pattern: str) -> list[Path]:
    return sorted(path for path in directory.glob(pattern) if path.is_file())


def _packed(act: Callable[[], object]) -> dict[str, object]:
    try:
        return {"value": act()}
    except SteelyardError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _unpacked(said: dict[str, Any]) -> Any:
    if "error" in said:
        raise error_named(said["error"], said["message"])
    return said["value"]
