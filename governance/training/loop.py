"""The one training loop: private if it is given a plan, else not; same task, same schedule, same checkpoints.

A run is killed and started again as often as it takes. Without privacy it then continues from its last checkpoint as
if nothing had happened (order and dropout of a step follow from the seed and its number). With privacy, every block of
steps is charged before it is taken, draws are fresh after every start, and steps that a kill destroyed stay paid for.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import nn

from governance.errors import BudgetExceeded, ConfigError, RecordError
from governance.training import checkpoint
from governance.training.dp.draws import Owners
from governance.training.dp.plan import Plan
from governance.training.dp.steps import PrivateSteps
from governance.training.group import ALONE, Group
from governance.training.methods import NEW
from governance.training.task import Task

BLOCK = 20  # steps charged at once, and between checkpoints: what a kill can waste
NO_LONGER_FALLS = "the loss on public rows no longer fell"
MAX_NORM = 1.0  # of an openly trained batch's gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to train, private or not.

    Attributes:
        learning_rate: the schedule's highest.
        new_rate: parameters that start from nothing (a head) learn so many times faster than pretrained ones.
        optimizer: "adamw", or "sgd" with momentum.
        momentum: of SGD.
        weight_decay: of AdamW.
        schedule: how the rate falls: "constant", "linear" or "cosine", after the warm-up.
        warm_up: share of steps over which the rate rises.
        epochs: passes over the rows; a private run counts its plan's steps.
        batch: rows a step; a private run's follow from its plan.
        physical: records whose activations are held at once.
        average: the last share of steps whose mean weights are kept; 0: the last step's. It costs no privacy.
        bf16: compute in bfloat16 where torch thinks it safe; weights and sums stay in float32.
        patience: stop when the loss on public rows has not fallen for so many looks, one a block.
        on_budget: what to do when the data set's budget refuses a block: "refuse", or "stop" and keep what there is.
        seed: of order and dropout; a private run's draws don't use it.
    """

    learning_rate: float
    new_rate: float = 1.0
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    weight_decay: float = 0.01
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warm_up: float = 0.1
    epochs: int = 1
    batch: int = 32
    physical: int = 64
    average: float = 0.0
    bf16: bool = False
    patience: int | None = None
    on_budget: Literal["refuse", "stop"] = "refuse"
    seed: int = 0


class Charges(Protocol):
    """Where steps are paid for, before they are taken."""

    @property
    def charged(self) -> int:
        """Steps of this run that are paid for so far, by earlier attempts too."""

    def charge(self, steps: int) -> None:
        """Pay for so many more; returns when that is on the disk. Raises `BudgetExceeded`, and then nothing is paid."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Where a run is. A private run's loss is private information: for the screen of who is trusted with rows."""

    step: int
    steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run did.

    Attributes:
        steps: taken, or charged where private.
        curve: (step, mean loss since the last point); private information where the run was private.
        stopped: why it ended before its last planned step, if it did.
    """

    steps: int
    curve: tuple[Mapping[str, float], ...]
    stopped: str | None = None


def run(
    task: Task,
    settings: Settings,
    directory: Path,
    *,
    plan: Plan | None = None,
    charges: Charges | None = None,
    owners: Owners | None = None,
    public: Callable[[], float] | None = None,
    tick: Callable[[Tick], None] | None = None,
    group: Group = ALONE,
) -> Ran:
    """Train a task's model in place.

    Args:
        task: model and rows.
        settings: how.
        directory: for checkpoints; the caller lets `checkpoint.forget` remove them once the result is saved.
        plan: makes it private.
        charges: where a private run's steps are paid for; of rank 0 where there are several.
        owners: users and their rows, where the plan draws users.
        public: the loss on rows that are nobody's secret; for `settings.patience`.
        tick: called after every block.
        group: processes that share each step; each has a `directory` of its own, and only rank 0 has `charges`.

    Raises:
        BudgetExceeded: the data set's budget refuses the next block, and settings don't say to stop there.
        ConfigError: the model can't be trained privately, or the processes were not given the same.
    """
    if plan is not None and charges is None and group.rank == 0:
        raise ValueError("a private run needs a place where its steps are charged")
    optimizer = make_optimizer(task.model, settings)
    total = plan.steps if plan else settings.epochs * -(-task.rows // settings.batch)
    shapes = {name: list(p.shape) for name, p in task.model.named_parameters() if p.requires_grad}
    group.check_same([task.rows, total, shapes], "rows, steps or trained parameters")
    group.copy(directory, f"{checkpoint.PREFIX}*/**/*")
    state = checkpoint.resume(task, optimizer, directory)
    steps = _steps(task, settings, optimizer, plan, owners, group)
    stopped = NO_LONGER_FALLS if state.no_longer_falls(settings.patience) else None
    taken = group.first(partial(_taken, state, charges))
    task.model.train()
    while taken < total and stopped is None:
        block = min(BLOCK, total - taken)
        may_stop = settings.on_budget == "stop" and state.step > 0  # with nothing trained there is nothing to keep
        if plan is not None and not group.first(partial(_paid, charges, block, may_stop=may_stop)):
            stopped = "the data set's privacy budget"
            break
        group.share(task.model)  # the start's; later, what different processors may have rounded differently
        loss = _block(steps, task, optimizer, settings, state, range(taken, taken + block), total)
        if plan is None and not math.isfinite(loss):
            raise ConfigError(f"training: the loss is no longer a number after {taken} steps; lower learning_rate")
        taken += block
        state.add(taken, loss)
        if public is not None:
            state.public.append(group.first(public))
            stopped = NO_LONGER_FALLS if state.no_longer_falls(settings.patience) else None
        if group.rank == 0:
            checkpoint.keep(task, optimizer, state, directory)
        if tick:
            tick(Tick(taken, total, loss))
    state.put_average(task.model)
    group.share(task.model)
    return Ran(taken, tuple(state.curve), stopped)


def _steps(
    task: Task,
    settings: Settings,
    optimizer: torch.optim.Optimizer,
    plan: Plan | None,
    owners: Owners | None,
    group: Group,
) -> _Steps:
    """What a step does: the one place where private and open runs differ."""
    task = _InBfloat16(task) if settings.bf16 else task
    if plan is None:
        return _OpenSteps(task, settings, optimizer, group)
    torch.manual_seed(secrets.randbits(63))  # dropout
    return PrivateSteps(
        task, plan, optimizer, physical=settings.physical, owners=owners, rank=group.rank, ranks=group.size
    )


def _block(
    steps: _Steps,
    task: Task,
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    state: checkpoint.State,
    numbers: range,
    total: int,
) -> float:
    """Take the steps of these numbers; returns their mean loss, NaN where none was drawn."""
    losses = []
    for step in numbers:
        set_rate(optimizer, settings, step, total)
        losses.append(steps.take(step))
        if step >= total * (1 - settings.average):
            state.average(task.model)
    found = [loss for loss in losses if math.isfinite(loss)]
    return sum(found) / len(found) if found else float("nan")


def _paid(charges: Charges | None, steps: int, *, may_stop: bool) -> bool:
    """Whether the next steps are paid for; if not, and the run may not stop there, that is an error."""
    assert charges is not None  # noqa: S101 - narrows the type; `run` looked
    try:
        charges.charge(steps)
    except BudgetExceeded:
        if not may_stop:
            raise
        return False
    return True


def _taken(state: checkpoint.State, charges: Charges | None) -> int:
    """Steps that are behind this run: in its checkpoint, or paid for and lost."""
    if charges is None:
        return state.step
    if charges.charged < state.step:
        raise RecordError(
            f"the checkpoint is of step {state.step}, but only {charges.charged} are charged: the budget book was set "
            "back, or this is another run's folder; put the book back, or train anew in an empty folder"
        )
    return charges.charged


class _Steps(Protocol):
    def take(self, step: int) -> float: ...


class _InBfloat16:
    """A task whose losses are computed in bfloat16 where torch thinks it safe.

    Nothing else of a step is: norms and sums of gradients must not be rounded, or no bound on them would hold.
    """

    def __init__(self, task: Task) -> None:
        self.model, self.rows = task.model, task.rows
        self.save, self.restore, self._losses = task.save, task.restore, task.losses

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self._losses(rows).float()


class _OpenSteps:
    """Shuffled epochs; what a step does follows from the seed and its number, and dropout from the rank too."""

    def __init__(self, task: Task, settings: Settings, optimizer: torch.optim.Optimizer, group: Group) -> None:
        self._task, self._settings, self._optimizer, self._group = task, settings, optimizer, group
        self._per_epoch = -(-task.rows // settings.batch)
        self._order: tuple[int, tuple[torch.Tensor, ...]] = (-1, ())

    def take(self, step: int) -> float:
        """One update on the next batch; returns its mean loss."""
        rows = self._rows(step)
        torch.manual_seed(hash((self._settings.seed, step, self._group.rank)) % 2**63)
        self._optimizer.zero_grad()
        total = torch.zeros(())
        for part in rows[self._group.rank :: self._group.size].split(self._settings.physical):
            if len(part):  # the last batch may be smaller than the group
                losses = self._task.losses(part)
                (losses.sum() / len(rows)).backward()
                total += losses.detach().sum()
        self._group.add(total)
        add_gradients(self._task.model, self._group)
        nn.utils.clip_grad_norm_(self._task.model.parameters(), MAX_NORM)
        self._optimizer.step()
        return float(total) / len(rows)

    def _rows(self, step: int) -> torch.Tensor:
        epoch, at = divmod(step, self._per_epoch)
        if self._order[0] != epoch:
            order = torch.Generator().manual_seed(self._settings.seed * 1_000 + epoch)
            shuffled = torch.randperm(self._task.rows, generator=order)
            self._order = (epoch, shuffled.split(self._settings.batch))
        return self._order[1][at]


def add_gradients(model: nn.Module, group: Group) -> None:
    """Make each parameter's gradient the sum of all processes'; one that has none in any of them keeps none."""
    if group.size == 1:
        return
    trained = [p for p in model.parameters() if p.requires_grad]
    there = torch.tensor([float(p.grad is not None) for p in trained])
    group.add(there)
    for parameter, processes in zip(trained, there.tolist(), strict=True):
        if processes:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            group.add(parameter.grad)


def make_optimizer(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Over exactly the trained parameters, in two groups: pretrained ones, and those that start from nothing."""
    new = tuple(getattr(model, "starts_new", [f"{part}." for part in NEW]))
    groups: dict[bool, list[nn.Parameter]] = {False: [], True: []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[any(part in f".{name}" for part in (f".{prefix}" for prefix in new))].append(parameter)
    rates = {False: settings.learning_rate, True: settings.learning_rate * settings.new_rate}
    made = [
        {"params": found, "lr": rates[is_new], "highest": rates[is_new]} for is_new, found in groups.items() if found
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(made, momentum=settings.momentum)
    return torch.optim.AdamW(made, weight_decay=settings.weight_decay)


def set_rate(optimizer: torch.optim.Optimizer, settings: Settings, step: int, steps: int) -> None:
    """Learning rates of step `step` of `steps`."""
    share = rate_at(settings, step, steps)
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * share


def rate_at(settings: Settings, step: int, steps: int) -> float:
    """The schedule's share of the highest rate, in [0, 1].

    >>> made = Settings(learning_rate=1, schedule="linear", warm_up=0.5)
    >>> [round(rate_at(made, step, 4), 2) for step in range(4)]
    [0.33, 0.67, 0.5, 0.25]
    """
    rising = (step + 1) / (settings.warm_up * steps + 1)
    falling = {
        "constant": 1.0,
        "linear": (steps - step) / steps,
        "cosine": (1 + math.cos(math.pi * step / steps)) / 2,
    }[settings.schedule]
    return min(1.0, rising, falling)
