"""What a recipe is: settings, the columns that it needs, and how to make a task of scrubbed rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch

from governance.claims import PrivacyClaim
from governance.dataset import ScrubbedTable
from governance.errors import ConfigError
from governance.training import loop
from governance.training.dp.plan import Plan
from governance.training.group import ALONE, Group
from governance.training.task import Task

PUBLIC_LOSS = "public_loss"  # among a run's facts: of the finished model, on public rows
Role = Literal["text", "label", "number", "id"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a recipe reads: what it is, and whether it can do without."""

    role: Role
    optional: bool = False
    several: bool = False  # any number of columns of this role, by their own names (features of a table)


class Recipe(Protocol):
    """A dataclass whose fields are its settings. Most recipes train by gradient steps: `GradientRecipe`."""

    columns: ClassVar[Mapping[str, Column]]
    needs_base: ClassVar[bool]

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Train on scrubbed rows; leaves the model in `directory` for `load`; resumes what a kill cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a recipe is given besides rows.

    Attributes:
        base: folder of pretrained weights, for recipes that need one.
        settings: of the loop.
        plan: makes it private.
        charges: where steps are paid for; with a plan.
        owners: users and their rows, where the plan draws users.
        tick: told of every block.
        public: rows that are nobody's secret, for early stopping.
        language: of the texts.
        group: processes that train together, of which this is one.
    """

    base: Path | None
    settings: loop.Settings
    plan: Plan | None = None
    charges: loop.Charges | None = None
    owners: Any = None
    tick: Callable[[loop.Tick], None] | None = None
    public: ScrubbedTable | None = None
    language: str = "en"
    group: Group = ALONE


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training left.

    Attributes:
        ran: steps and learning curve.
        claim: if it was private.
        trained: which parameters, in words.
        facts: figures of the recipe's own for the training record: vocabulary size, rows left out.
    """

    ran: loop.Ran
    claim: PrivacyClaim | None
    trained: str
    facts: Mapping[str, int | float | str]


def fit_by_steps(
    task: Task,
    directory: Path,
    setting: Setting,
    *,
    trained: str,
    public: Task | None = None,
    facts: Mapping[str, int | float | str] | None = None,
    uncovered: tuple[str, ...] = (),
    save: Callable[[Path], None] | None = None,
) -> Fitted:
    """What all gradient recipes do with their task: self-test where private, loop, save, claim.

    Checkpoints stay until the caller has written down what comes back: charged steps can't be had again.

    Args:
        task: model and rows.
        directory: of the training; the model goes to `model/` in it.
        setting: how.
        trained: which parameters, in words.
        public: the same model on public rows, for early stopping.
        facts: for the record.
        uncovered: what of this recipe the privacy claim does not cover.
        save: writes the finished model. [default: as the task saves it between blocks]
    """
    from governance.training.dp import selftest
    from governance.training.dp.plan import claim

    if setting.plan is not None:
        setting.group.every(lambda: selftest.check(task))
    ran = loop.run(
        task,
        setting.settings,
        directory,
        plan=setting.plan,
        charges=setting.charges,
        owners=setting.owners,
        public=None if public is None else lambda: mean_loss(public, setting.settings.physical),
        tick=setting.tick,
        group=setting.group,
    )
    model = directory / "model"
    model.mkdir(exist_ok=True)
    (save or task.save)(model)
    made = None
    if setting.plan is not None and setting.group.rank == 0:
        uncovered = (selftest.NOT_COVERED, *uncovered)
        made = claim(setting.plan, ran.steps, trained=trained, extra=uncovered, ranks=setting.group.size)
    found = dict(facts or {})
    loss = math.nan if public is None else mean_loss(public, setting.settings.physical)
    if math.isfinite(loss):
        found[PUBLIC_LOSS] = loss
    return Fitted(ran, made, trained, found)


def check_alone(setting: Setting, what: str) -> None:
    """Refuse several processes for a recipe whose steps they can't share.

    Raises:
        ConfigError: names the recipe.
    """
    if setting.group.size > 1:
        raise ConfigError(f"{what}: its steps can't be shared by {setting.group.size} processes; start one")


@torch.no_grad()
def mean_loss(task: Task, batch: int = 64) -> float:
    """Mean over a task's rows, by the model as it is, without dropout."""
    training = task.model.training
    task.model.eval()
    try:
        parts = [task.losses(rows) for rows in torch.arange(task.rows).split(batch)]
    finally:
        task.model.train(training)
    return float(torch.cat(parts).mean())
