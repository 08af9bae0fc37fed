"""Whether steps fit into a budget, and what to say if they don't. Pure functions of what the book says."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from governance.budget.accounting import Spent
from governance.budget.reading import joint_epsilon, searched_epsilon
from governance.budget.runs import Budget, RunState, Unit
from governance.errors import BudgetExceeded

Fits: TypeAlias = Callable[[int, bool], bool]
"""Whether that many steps fit, on the coarse grid or on the fine one."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a planned run, or a planned search, would make of a budget.

    Attributes:
        alone: epsilon of the run, or of the mean number of runs of a search, by itself.
        before: epsilon of what is spent on the same data.
        after: epsilon of both, all composed.
        selected: the same for a search that shows only the best of a random number of runs, if planned and if it can be
            told; the smaller of both counts.
        fits: whether it stays within the budget; None: there is none.
        steps_that_fit: of the planned steps, the most that would; None: there is no budget.
    """

    alone: float
    before: float
    after: float
    selected: float | None
    fits: bool | None
    steps_that_fit: int | None


def what_if(
    planned: RunState, beside: Sequence[RunState], budget: Budget | None, *, delta: float, unit: Unit
) -> WhatIf:
    """What a run would cost beside others, at this delta and for this unit."""
    tuning = planned.tuning
    times = max(1, round(tuning.mean_runs)) if tuning and tuning.mean_runs else 1

    def composed(runs: Sequence[RunState], steps: int, coarse: bool = False) -> float:
        run = replace(planned, charged=steps * times, tuning=None)
        return joint_epsilon([*runs, run], delta, unit, coarse=coarse)

    def selected(steps: int) -> float | None:
        one = replace(planned, charged=steps, plan=replace(planned.plan, steps=steps))
        return searched_epsilon([*beside, one], delta, unit) if times > 1 and steps else None

    def fits(steps: int, coarse: bool) -> bool:
        assert budget is not None  # noqa: S101 - asked only where there is one
        other = selected(steps)
        return min(composed(beside, steps, coarse), math.inf if other is None else other) <= budget.epsilon

    steps = planned.plan.steps
    return WhatIf(
        alone=composed([], steps),
        before=joint_epsilon(beside, delta, unit),
        after=composed(beside, steps),
        selected=selected(steps),
        fits=fits(steps, False) if budget else None,
        steps_that_fit=_most(steps, fits) if budget else None,
    )


def admit(
    run: RunState, others: Sequence[RunState], budget: Budget, *, steps: int, extra: Sequence[Spent] = (), where: str
) -> None:
    """Let steps of a run's plan, or other blocks of it, pass if they fit beside all runs on the same rows.

    Raises:
        BudgetExceeded: they don't.
        ConfigError: what a run costs in the budget's unit can't be told.
    """

    def fits(total: int, coarse: bool) -> bool:
        then = [*others, _after(run, total, extra)]
        return joint_epsilon(then, budget.delta, budget.unit, coarse=coarse) <= budget.epsilon

    # If the whole plan fits, so does every part of it: one composition serves for a run that is alone with the book.
    # A coarse grid overestimates, so its yes is final, and ten times quicker.
    now, whole = run.charged + steps, max(run.plan.steps, run.charged + steps)
    if any(fits(total, coarse) for total in dict.fromkeys((whole, now)) for coarse in (True, False)):
        return
    spent = joint_epsilon([*others, run], budget.delta, budget.unit)
    then = joint_epsilon([*others, _after(run, now, extra)], budget.delta, budget.unit)
    asked = steps + sum(block.steps for block in extra)
    some = 0 if extra else _most(steps, lambda more, coarse: fits(run.charged + more, coarse))
    raise BudgetExceeded(
        f"{where}: run {run.id}: {asked} more steps would make epsilon {then:.4g}, past the budget of {budget}. "
        f"Spent on these rows: {spent:.4g}; left: {max(0.0, budget.epsilon - spent):.4g}; {some} of these steps would "
        "fit. Plan more noise or fewer steps (steelyard budget --what-if tells the cost), or raise the budget for a "
        "reason (--set-epsilon, --reason)."
    )


def _after(run: RunState, charged: int, extra: Sequence[Spent]) -> RunState:
    return replace(run, charged=charged, extra=[*run.extra, *extra])


def _most(steps: int, fits: Fits) -> int:
    """The most of `steps` that fit: found on the coarse grid, which is quick and never too high, then pushed up."""
    if fits(steps, False):
        return steps
    low = _between(0, steps, lambda some: fits(some, True))
    step = 1
    while low + step < steps and fits(low + step, False):
        low, step = low + step, 2 * step
    return _between(low, min(low + step, steps), lambda some: fits(some, False))


def _between(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """By bisection the last that fits, if `low` does and `high` doesn't."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
