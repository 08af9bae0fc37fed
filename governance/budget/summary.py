"""A book in figures: spent and left, by run and by search. What every view of it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from governance.budget.ledger import Ledger
from governance.budget.reading import composed_epsilon, joint_epsilon, random_stopping, searched_epsilon, unit_of
from governance.budget.runs import Budget, RunState, Unit


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run.

    Attributes:
        run: as the book has it.
        alone: epsilon of its own steps.
        together: epsilon of them with all earlier runs on the same rows.
    """

    run: RunState
    alone: float
    together: float


@dataclass(frozen=True, slots=True)
class SearchLine:
    """One search with a random number of runs.

    Attributes:
        group: its name.
        runs: made so far.
        composed: epsilon of all of them, if all were shown.
        selected: epsilon if only the best is, None if it can't be told; the smaller of both counts.
    """

    group: str
    runs: int
    composed: float
    selected: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a book says.

    Attributes:
        place: its folder.
        head: names its contents.
        unit: whom epsilon is told for.
        delta: at which epsilon is told.
        budget: None: none was set.
        spent: epsilon of the rows that most was spent on.
        runs: in the order in which they were opened.
        searches: with a random number of runs.
        budgets: every budget set, with time and reason.
    """

    place: str
    head: str
    unit: Unit
    delta: float
    budget: Budget | None
    spent: float
    runs: tuple[RunLine, ...]
    searches: tuple[SearchLine, ...]
    budgets: tuple[Mapping[str, object], ...]

    @property
    def left(self) -> float | None:
        """Up to the budget; None: there is none. Epsilons don't add up, so a run of a larger one may fit."""
        return None if self.budget is None else max(0.0, self.budget.epsilon - self.spent)

    def to_json(self) -> dict[str, object]:
        """For machines; an epsilon too large to be told is null."""
        lines = [
            {
                "id": line.run.id,
                "label": line.run.label,
                "opened": line.run.at,
                "rows": line.run.rows,
                "data": line.run.data[:16],
                "steps": line.run.charged,
                "planned": line.run.plan.steps,
                "sigma": line.run.plan.sigma,
                "sample_rate": line.run.plan.sample_rate,
                "drawn": line.run.drawn,
                "cap": line.run.cap,
                "delta": line.run.delta,
                "tuning": line.run.tuning and line.run.tuning.group,
                "epsilon": _told(line.alone),
                "together": _told(line.together),
            }
            for line in self.runs
        ]
        searches = [
            {"group": s.group, "runs": s.runs, "composed": _told(s.composed), "selected": _told(s.selected)}
            for s in self.searches
        ]
        return {
            "book": self.place,
            "head": self.head,
            "unit": self.unit,
            "delta": self.delta,
            "budget": None if self.budget is None else self.budget.epsilon,
            "spent": _told(self.spent),
            "left": self.left,
            "runs": lines,
            "searches": searches,
            "budgets": [{k: e[k] for k in ("epsilon", "delta", "unit", "reason", "at")} for e in self.budgets],
        }


def summarise(ledger: Ledger) -> Summary:
    """The book as it is now, at the budget's delta and for its unit; without one at the smallest delta of the runs."""
    state = ledger.state
    runs = list(state.runs.values())
    delta = state.budget.delta if state.budget else min((run.delta for run in runs), default=1e-6)
    unit = state.budget.unit if state.budget else unit_of(runs)
    lines = []
    for place, run in enumerate(runs):
        earlier = [other for other in runs[: place + 1] if ledger.overlapping(run.data, other.data)]
        alone = joint_epsilon([replace(run, tuning=None)], delta, unit)
        lines.append(RunLine(run, alone, joint_epsilon(earlier, delta, unit)))
    searches = [
        SearchLine(
            group=str(members[0].tuning and members[0].tuning.group),
            runs=len(members),
            composed=composed_epsilon(members, delta, unit),
            selected=searched_epsilon(members, delta, unit),
        )
        for members in random_stopping(runs)
    ]
    return Summary(
        place=str(ledger.folder),
        head=ledger.head,
        unit=unit,
        delta=delta,
        budget=state.budget,
        spent=ledger.epsilon(delta=delta),
        runs=tuple(lines),
        searches=tuple(searches),
        budgets=tuple(state.budgets),
    )


def _told(epsilon: float | None) -> float | None:
    return epsilon if epsilon is not None and math.isfinite(epsilon) else None
