"""Checkpoints of a run under way: whole or not there, and readable by whoever reads the finished model.

Each is a folder `step-<number>/` with the model as its task saves it (Hugging Face's format where the model is
theirs), the optimiser's state in safetensors, and `state.json`, written last: without it the folder is an attempt.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from governance.files import write_atomic
from governance.training.task import Task

PREFIX = "step-"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


@dataclass
class State:
    """What a loop must remember besides weights.

    Attributes:
        step: taken so far.
        curve: points for people.
        averaged: weights' running mean by parameter name, over `count` steps.
        count: steps in that mean.
        public: loss on public rows after each block.
    """

    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    averaged: dict[str, torch.Tensor] = field(default_factory=dict)
    count: int = 0
    public: list[float] = field(default_factory=list)

    def add(self, step: int, loss: float) -> None:
        """One point of the curve; a block without a loss (nobody was drawn) leaves none."""
        self.step = step
        if math.isfinite(loss):
            self.curve.append({"step": float(step), "loss": loss})

    def no_longer_falls(self, patience: int | None) -> bool:
        """Early stopping: whether the last `patience` public losses are all no lower than the lowest before.

        >>> State(public=[3.0, 2.0, 2.5, 2.0]).no_longer_falls(2), State(public=[3.0, 2.0, 2.5, 1.9]).no_longer_falls(2)
        (True, False)
        """
        if patience is None or len(self.public) <= patience:
            return False
        return not min(self.public[-patience:]) < min(self.public[:-patience])  # so that NaN is no fall

    @torch.no_grad()
    def average(self, model: nn.Module) -> None:
        """Count the model's trained weights into the mean."""
        self.count += 1
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                mean = self.averaged.setdefault(name, torch.zeros_like(parameter))
                mean += (parameter - mean) / self.count

    @torch.no_grad()
    def put_average(self, model: nn.Module) -> None:
        """Set the model's trained weights to the mean, if there is one."""
        for name, parameter in model.named_parameters():
            if name in self.averaged:
                parameter.copy_(self.averaged[name])


def keep(task: Task, optimizer: torch.optim.Optimizer, state: State, directory: Path) -> None:
    """Write a checkpoint, then remove the older ones."""
    from safetensors.torch import save

    folder = directory / f"{PREFIX}{state.step:08d}"
    shutil.rmtree(folder, ignore_errors=True)  # an attempt that a kill cut short
    folder.mkdir(parents=True)
    task.save(folder)
    tensors = {f"average.{name}": value.contiguous() for name, value in state.averaged.items()}
    for number, values in optimizer.state_dict()["state"].items():
        found = {key: torch.as_tensor(value) for key, value in values.items() if value is not None}
        tensors |= {f"optimizer.{number}.{key}": value.contiguous() for key, value in found.items()}
    write_atomic(folder / OPTIMIZER, save(tensors))
    told = {"step": state.step, "curve": state.curve, "count": state.count, "public": state.public}
    write_atomic(folder / STATE, json.dumps(told).encode())
    for older in _folders(directory):
        if older != folder:
            shutil.rmtree(older)


def resume(task: Task, optimizer: torch.optim.Optimizer, directory: Path) -> State:
    """Put the newest whole checkpoint into model and optimiser; a fresh state if there is none."""
    from safetensors.torch import load_file

    whole = [folder for folder in _folders(directory) if (folder / STATE).is_file()]
    if not whole:
        return State()
    folder = max(whole)
    told = json.loads((folder / STATE).read_bytes())
    task.restore(folder)
    states: dict[int, dict[str, torch.Tensor]] = {}
    averaged = {}
    for name, value in load_file(folder / OPTIMIZER).items():
        kind, _, rest = name.partition(".")
        if kind == "average":
            averaged[rest] = value
        else:
            number, _, key = rest.partition(".")
            states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return State(int(told["step"]), list(told["curve"]), averaged, int(told["count"]), list(told["public"]))


def there(directory: Path) -> bool:
    """Whether a whole checkpoint is in this folder."""
    return any((folder / STATE).is_file() for folder in _folders(directory))


def forget(directory: Path) -> None:
    """Remove all checkpoints: the result is saved. Not before: charged steps can't be had again."""
    for folder in _folders(directory):
        shutil.rmtree(folder)


def _folders(directory: Path) -> list[Path]:
    return sorted(folder for folder in directory.glob(f"{PREFIX}*") if folder.is_dir())
