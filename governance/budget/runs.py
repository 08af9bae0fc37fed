"""A budget, a run, and how the book writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from governance.budget.accounting import Spent, aggregated
from governance.budget.tuning import Distribution
from governance.errors import ConfigError

Unit: TypeAlias = Literal["record", "user"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that any record, or any user, of the book's data may be exposed to.

    Attributes:
        epsilon: in nats.
        delta: of that epsilon.
        unit: whom it protects.
    """

    epsilon: float
    delta: float
    unit: Unit = "record"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ConfigError(f"budget.epsilon: expected a positive finite number, got {self.epsilon}")
        if not 0 < self.delta < 1:
            raise ConfigError(f"budget.delta: expected a number between 0 and 1, got {self.delta}")
        if self.unit not in ("record", "user"):
            raise ConfigError(f"budget.unit: expected 'record' or 'user', got {self.unit!r}")

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g} at delta {self.delta:g} for each {self.unit}"


@dataclass(frozen=True, slots=True)
class Tuning:
    """A group of runs of which one is chosen.

    Attributes:
        group: its name.
        mean_runs: if the number of runs was drawn beforehand and only the best is shown, the mean of its distribution;
            None for any other search, whose runs all count in full.
        distribution: of the number of runs.
    """

    group: str
    mean_runs: float | None = None
    distribution: Distribution = "poisson"


@dataclass(slots=True)
class RunState:
    """One run as the book has it.

    Attributes:
        id: its name in the book.
        label: for people.
        at: when it was opened, UTC, ISO 8601.
        data: digest of its rows.
        rows: how many.
        plan: the steps that it means to take.
        delta: of its own claim.
        drawn: what joins a step by chance and is clipped: a record, or all of a user.
        cap: most records of one user; None: unknown.
        tuning: the search that it is part of.
        charged: steps of the plan charged so far.
        extra: other mechanisms charged.
    """

    id: str
    label: str
    at: str
    data: str
    rows: int
    plan: Spent
    delta: float
    drawn: Unit
    cap: int | None
    tuning: Tuning | None
    charged: int = 0
    extra: list[Spent] = field(default_factory=list)

    @property
    def spent(self) -> tuple[Spent, ...]:
        """All that was charged, for one contribution."""
        return aggregated([steps_of(self.plan, self.charged), *self.extra])


class Facts:
    """Typed values out of an entry."""

    def __init__(self, entry: Mapping[str, object]) -> None:
        self.entry = entry

    def number(self, name: str) -> float:
        """A number, not a truth value."""
        value = self.entry[name]
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError(name)
        return float(value)

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self.entry[name]
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(name)
        return value


def run_of(e: Facts) -> RunState:
    """The run that an entry opens."""
    entry = e.entry
    tuning = entry["tuning"]
    return RunState(
        id=str(entry["id"]),
        label=str(entry["label"]),
        at=str(entry["at"]),
        data=str(entry["data"]),
        rows=e.whole("rows"),
        plan=Spent(e.number("sigma"), e.number("sample_rate"), e.whole("steps")),
        delta=e.number("delta"),
        drawn=unit_in(entry["drawn"]),
        cap=None if entry["cap"] is None else e.whole("cap"),
        tuning=Tuning(**tuning) if isinstance(tuning, Mapping) else None,
    )


def unit_in(value: object) -> Unit:
    """A unit, checked."""
    if value == "record" or value == "user":  # noqa: PLR1714 - so that the type checker narrows it
        return value
    raise ValueError(value)


def planned_noise(block: Spent, plan: Spent) -> bool:
    """Whether a block is steps of this plan."""
    return (block.sigma, block.sample_rate) == (plan.sigma, plan.sample_rate)


def steps_of(plan: Spent, steps: int) -> Spent:
    """That many steps of a plan."""
    return Spent(plan.sigma, plan.sample_rate, steps)


def entry_of(run: RunState, sketch: str) -> dict[str, object]:
    """What the book says of a run when it is opened; `sketch`: SHA-256 of its data's sketch."""
    return {
        "kind": "run",
        "id": run.id,
        "label": run.label,
        "at": run.at,
        "data": run.data,
        "rows": run.rows,
        "sketch": sketch,
        "sigma": run.plan.sigma,
        "sample_rate": run.plan.sample_rate,
        "steps": run.plan.steps,
        "delta": run.delta,
        "drawn": run.drawn,
        "cap": run.cap,
        "tuning": None if run.tuning is None else asdict(run.tuning),
    }


def check_same(known: RunState, asked: RunState) -> None:
    """That a run which goes on is the one that the book knows.

    Raises:
        ConfigError: it isn't.
    """
    for name in ("data", "plan", "delta", "drawn", "cap", "tuning"):
        if getattr(known, name) != getattr(asked, name):
            raise ConfigError(
                f"run {known.id}: its {name} differs from what the budget book has under this id; "
                "a run goes on with the same settings and rows, or is another run"
            )


def check_run(run: RunState) -> None:
    """That a run's settings can be accounted for.

    Raises:
        ConfigError: they can't.
    """
    plan, tuning = run.plan, run.tuning
    if not 0 < run.delta < 1:
        raise ConfigError(f"delta: expected a number between 0 and 1, got {run.delta}")
    if run.drawn not in ("record", "user"):
        raise ConfigError(f"drawn: expected 'record' or 'user', got {run.drawn!r}")
    if run.cap is not None and (type(run.cap) is not int or run.cap < 1):
        raise ConfigError(f"cap: expected a whole number >= 1, got {run.cap}")
    if plan.cap != 1 or plan.neighbouring != "add-or-remove-one":
        raise ConfigError("plan: expected single contributions, added or removed; say `cap` and `drawn` of the run")
    if tuning is not None and tuning.mean_runs is not None and not tuning.mean_runs >= 1:
        raise ConfigError(f"tuning.mean_runs: expected a number >= 1, got {tuning.mean_runs}")
