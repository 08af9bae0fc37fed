"""What a private run will cost, known before anything is trained: the plan, and the budget book after it."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.budget.account import Account, open_account
from governance.budget.admission import WhatIf, what_if
from governance.budget.book import BOOK, HEAD
from governance.budget.fingerprint import Fingerprint
from governance.budget.ledger import Ledger
from governance.budget.place import place_for, state_book
from governance.budget.runs import Budget, RunState, Tuning
from governance.building import within
from governance.errors import ConfigError
from governance.files import write_atomic
from governance.sources import PACKAGE
from governance.store import Store, code_digest, versions
from governance.tables import marks
from governance.trainprepare import Prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from governance.training.dp.plan import Plan


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known before training.

    Attributes:
        rows: to train on.
        users: where they are protected.
        plan: None: an open run.
        cost: beside what the book holds.
        budget: in force, or asked for.
        book: folder of the budget book.
    """

    rows: int
    users: int | None
    plan: Plan | None = None
    cost: WhatIf | None = None
    budget: Budget | None = None
    book: Path | None = None

    def lines(self) -> list[str]:
        """For people."""
        told = [f"{self.rows:,} rows to train on" + ("" if self.users is None else f", of {self.users:,} users")]
        plan, cost = self.plan, self.cost
        if plan is None or cost is None:
            return [*told, "no privacy claim: rows can be remembered, and found again, by whoever has the model"]
        drawn = self.rows if plan.drawn == "record" else plan.units
        told.append(
            f"epsilon {plan.epsilon:g} at delta {plan.delta:g} for each {plan.unit}: {plan.steps:,} steps, each "
            f"{plan.drawn} drawn with chance {plan.sample_rate:g} (about {drawn * plan.sample_rate:,.0f} a step, sums "
            f"divided by {plan.batch:g}), noise multiplier {plan.sigma:.4g}, "
            f"clipping {plan.clipping:g} ({plan.clipping_style})"
        )
        after = (
            f"budget book {self.book}: epsilon {cost.before:.4g} spent on these rows, {cost.after:.4g} after this run"
        )
        if cost.selected is not None:
            after += f" ({cost.selected:.4g} as a search that shows only its best)"
        if self.budget is None:
            told.append(after + "; no budget is set")
        elif cost.fits:
            told.append(after + f"; the budget is {self.budget}")
        else:
            told.append(after + f": PAST the budget of {self.budget}; {cost.steps_that_fit} of the steps would fit")
        return told

    def to_json(self) -> dict[str, object]:
        """For machines."""
        plan = None if self.plan is None else dataclasses.asdict(self.plan)
        cost = None if self.cost is None else _finite(dataclasses.asdict(self.cost))
        budget = None if self.budget is None else dataclasses.asdict(self.budget)
        return {"rows": self.rows, "users": self.users, "plan": plan, "cost": cost, "budget": budget}


def outlook(
    prepared: Prepared, rows: int, users: int | None, index: NDArray[np.int64], store: Store, *, own: str | None = None
) -> Outlook:
    """What a run will cost; nothing is written into the book.

    Args:
        prepared: the run.
        rows: to train on.
        users: where they are protected.
        index: positions of the rows that are looked at.
        store: where the plan is kept: its noise takes seconds to find.
        own: the run's name in the book, if an earlier attempt has one.

    Raises:
        ConfigError: delta is not below 1 over rows or users, no noise reaches epsilon, or the book can't tell.
    """
    if prepared.config.private is None:
        return Outlook(rows, users)
    plan = planned(prepared, rows, users, store)
    book, budget, beside = book_of(prepared), _budget(prepared), []
    if (book / BOOK).exists() or (book / HEAD).exists():
        ledger = Ledger(book, create=False)
        data = fingerprint_of(prepared, index, ledger)
        runs = ledger.state.runs.values()
        beside = [run for run in runs if run.id != own and ledger.overlapping(data, run.data)]
        budget = ledger.state.budget or budget
    spent = dataclasses.replace(plan.spent(plan.steps), cap=1)
    run = RunState("planned", "", "", "", rows, spent, plan.delta, plan.drawn, _cap(prepared), _tuning(prepared))
    unit, delta = (budget.unit, budget.delta) if budget else (plan.unit, plan.delta)
    cost = what_if(run, beside, budget, delta=delta, unit=unit)
    tuning = prepared.config.tuning
    if budget is not None and tuning is not None and tuning.tries is not None and (cost.selected or 0) > budget.epsilon:
        # Fewer runs, composed, might fit; but how many there will be is drawn in secret, and may be more.
        cost = dataclasses.replace(cost, fits=False)
    return Outlook(rows, users, plan, cost, budget, book)


def planned(prepared: Prepared, rows: int, users: int | None, store: Store) -> Plan:
    """The plan of a private run; the same settings and sizes give the same one."""
    from governance.training.dp import plan as dp

    private = prepared.config.private
    assert private is not None  # noqa: S101 - narrows the type; asked only of private runs
    given: dict[str, Any] = private.model_dump(exclude={"unit", "on_budget", "publish_loss"})
    inputs = {
        **given,
        "n": rows,
        "users": users,
        "code": code_digest("governance.budget", "governance.training.dp.plan"),
        "versions": dict(versions("opacus", "dp-accounting")),
    }
    finished = store.path("plan", inputs)
    if not finished.exists():
        made = within(str(prepared.path), lambda: dp.plan(n=rows, users=users, **given))
        with store.building(finished) as working:
            write_atomic(working / "plan.json", json.dumps(dataclasses.asdict(made)).encode())
    return dp.Plan(**json.loads((finished / "plan.json").read_bytes()))


def account(prepared: Prepared, plan: Plan, index: NDArray[np.int64], working: Path) -> Account:
    """The run's account in the budget book, opened or gone on with.

    Raises:
        BudgetExceeded: the planned steps don't fit.
        ConfigError: the book has another budget.
    """
    return open_account(
        book_of(prepared),
        working,
        fingerprint=lambda ledger: fingerprint_of(prepared, index, ledger),
        spent=dataclasses.replace(plan.spent(plan.steps), cap=1),
        delta=plan.delta,
        label=prepared.config.train,
        drawn=plan.drawn,
        cap=_cap(prepared),
        budget=_budget(prepared),
        partial=prepared.config.private is not None and prepared.config.private.on_budget == "stop",
        tuning=_tuning(prepared),
    )


def fingerprint_of(prepared: Prepared, index: NDArray[np.int64], ledger: Ledger) -> Fingerprint:
    """Of raw rows as the file has them, so that no choice of columns, cleaning or scrubbing makes them others."""
    return dataclasses.replace(ledger.fingerprint(marks(prepared.source.path, index)), rows=len(index))


def book_of(prepared: Prepared) -> Path:
    """Folder of the budget book: the config's, else beside the data, else the user's own for what was installed."""
    config = prepared.config
    if config.ledger is not None:
        return (prepared.path.parent / config.ledger).expanduser()
    if config.data.path.startswith(PACKAGE):  # such a folder is the installer's
        return state_book(prepared.source.path)
    return place_for(prepared.source.path, fallback=state_book(prepared.source.path))


def _budget(prepared: Prepared) -> Budget | None:
    asked = prepared.config.data.budget
    return None if asked is None else Budget(asked.epsilon, asked.delta, asked.unit)


def _tuning(prepared: Prepared) -> Tuning | None:
    tuning = prepared.config.tuning
    return None if tuning is None else Tuning(tuning.group, tuning.mean_runs, tuning.distribution)


def _cap(prepared: Prepared) -> int | None:
    private = prepared.config.private
    return None if private is None or private.unit == "record" else private.cap


def check_budget_delta(prepared: Prepared, rows: int) -> None:
    """A budget whose delta lets a whole row out is none.

    Raises:
        ConfigError: it is not below one over the rows.
    """
    budget = prepared.config.data.budget
    if budget is not None and not budget.delta * rows < 1:
        raise ConfigError(
            f"{prepared.path}: data.budget.delta: expected below 1/n = {1 / rows:.3g} for {rows} rows, "
            f"found {budget.delta:g}"
        )


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
