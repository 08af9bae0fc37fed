"""Before a private run: is what the claim will say true of this very model on these very rows?

Every check is made on the model, loss and data that will be trained, because a rule that holds for a type of layer may
not hold for what somebody wrote around it. It tells nothing of the rows but that the model passed; the claim lists it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from governance.errors import ConfigError
from governance.training.dp.draws import fresh_generator
from governance.training.dp.gradients import UnitGradients
from governance.training.task import Task

ROWS = 4
TOLERANCE = 1e-5  # relative to the whole gradient's norm; single precision gives about 1e-7
MIXED = (
    "a row's loss depends on the rows beside it. Take each row's mean over its own tokens, never over the batch's; "
    "no normalisation over rows, routing or negatives from the batch"
)
NOT_COVERED = "the self-test before training, which reads a few rows and tells only that the model passed it"


def check(task: Task, *, rows: int = ROWS) -> None:
    """Refuse a task whose rows can't be bounded one by one, or whose model would not survive being saved.

    The model is left as it was.

    Args:
        task: what will be trained.
        rows: how many to look at, evenly spaced.

    Raises:
        ConfigError: names the layer or parameter, and says what to do.
    """
    if task.rows < 2:
        raise ConfigError(f"private training: expected at least 2 rows, found {task.rows}")
    looked_at = torch.linspace(0, task.rows - 1, min(rows, task.rows)).round().long().unique()
    gradients = UnitGradients(task.model)
    with _as_it_was(task.model):
        _training_stands_alone(task, looked_at)
        task.model.eval()  # dropout would differ from pass to pass
        _losses_stand_alone(task, looked_at)
        _gradients_stand_alone(task, gradients, looked_at)
        _moving_changes(task, gradients, looked_at)
        _survives_saving(task, looked_at)


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    training = model.training
    try:
        yield
    finally:
        model.load_state_dict(before)
        model.train(training)
        for parameter in model.parameters():
            parameter.grad = None


def _training_stands_alone(task: Task, rows: torch.Tensor) -> None:
    """What a model does only while it trains: two rows in two batches of one shape, under the same dropout."""
    task.model.train()
    before = {name: value.detach().clone() for name, value in task.model.state_dict().items()}
    found = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for middle in (rows[0], rows[-1]):
            torch.manual_seed(0)
            found.append(task.losses(torch.stack([rows[0], middle, rows[-1]])))
    for name, value in task.model.state_dict().items():
        if not torch.equal(before[name].nan_to_num(), value.nan_to_num()):
            raise ConfigError(
                f"private training: '{name}' changes while the model reads rows, and no noise covers that; "
                "use a layer that keeps no running statistics (track_running_stats=False) and no max_norm"
            )
    if found[0].shape == (3,) and bool(_differ(found[0], found[1])[[0, 2]].any()):
        raise ConfigError(f"private training: {MIXED}")


def _differ(some: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return (some - others).abs() > TOLERANCE * others.abs().clamp(min=1)


def _losses_stand_alone(task: Task, rows: torch.Tensor) -> None:
    with torch.no_grad():
        together = task.losses(rows)
        if together.shape != rows.shape:
            raise ConfigError(
                f"private training: expected one loss for each of {len(rows)} rows, found {tuple(together.shape)}; "
                "a batch's mean can't be bounded row by row"
            )
        alone = torch.cat([task.losses(row.view(1)) for row in rows])
    if bool(_differ(together, alone).any()):
        raise ConfigError(f"private training: {MIXED}")


def _gradients_stand_alone(task: Task, gradients: UnitGradients, rows: torch.Tensor) -> None:
    together = gradients(len(rows), lambda: task.losses(rows))
    for i, row in enumerate(rows):
        task.model.zero_grad()
        task.losses(row.view(1)).sum().backward()
        alone = {name: p.grad for name, p in gradients.trained.items() if p.grad is not None}
        norm = torch.stack([gradient.square().sum() for gradient in alone.values()]).sum().sqrt()
        found = dict(together.weighted_sums(torch.eye(len(rows))[i]))
        allowed = TOLERANCE * float(norm.clamp(min=1e-12))
        for name, parameter in gradients.trained.items():
            wanted = alone.get(name, torch.zeros_like(parameter))
            apart = float((found.get(parameter, torch.zeros_like(parameter)) - wanted).abs().max())
            if not apart <= allowed:
                raise ConfigError(_wrong(task.model, name))
        if not abs(float(together.norms[i] - norm)) <= max(allowed, TOLERANCE * float(norm)):
            raise ConfigError("private training: the norm of a row's gradient is not that of its gradients together")


def _wrong(model: nn.Module, parameter: str) -> str:
    layer = parameter.rpartition(".")[0]
    kind = type(model.get_submodule(layer)).__name__
    return (
        f"private training: layer '{layer}' ({kind}): the gradient of one row among others is not the one that it "
        "has alone, so it can't be bounded. Its rows are mixed, or its weight is used outside the layer; freeze it or "
        "replace it"
    )


@torch.no_grad()
def _moving_changes(task: Task, gradients: UnitGradients, rows: torch.Tensor) -> None:
    """The model must compute with what is trained: stale copies would be trained unseen."""
    noise, before = fresh_generator(), task.losses(rows)
    for parameter in gradients.trained.values():
        parameter.add_(0.01 * torch.randn(parameter.shape, generator=noise))
    if torch.equal(before, task.losses(rows)):
        raise ConfigError(
            "private training: an update of the trained parameters does not change the model's losses; it computes "
            "with copies of them, or with none"
        )


def _survives_saving(task: Task, rows: torch.Tensor) -> None:
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        wanted = task.losses(rows)
        task.save(Path(folder))
        for parameter in task.model.parameters():
            if parameter.requires_grad:
                parameter.zero_()
        task.restore(Path(folder))
        found = task.losses(rows)
    if not torch.allclose(wanted, found, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise ConfigError(
            "private training: the saved and reloaded model does not give the same outputs; a trained parameter is not "
            "saved"
        )
