"""What a book says: runs, what each has spent, and what they cost together.

Pure functions of the entries. Costs are those of one record, or of one user, whichever the question is about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from governance.budget.accounting import COARSE, Spent, TooLarge, aggregated, epsilon_pld
from governance.budget.runs import Budget, Facts, RunState, Unit, planned_noise, run_of, steps_of, unit_in
from governance.budget.tuning import Selection, selected_epsilon
from governance.errors import ConfigError, RecordError


@dataclass(slots=True)
class State:
    """The book so far.

    Attributes:
        runs: by id, in the order in which they were opened.
        budget: in force, if one was set.
        budgets: all that were set, with time and reason.
    """

    runs: dict[str, RunState] = field(default_factory=dict)
    budget: Budget | None = None
    budgets: list[Mapping[str, object]] = field(default_factory=list)
    read: int = 0

    def take(self, entries: Sequence[Mapping[str, object]]) -> None:
        """Read the entries that aren't read yet.

        Raises:
            RecordError: an entry is of a kind that this version doesn't know: it may be a charge.
        """
        for number, entry in enumerate(entries[self.read :], self.read + 1):
            try:
                self._take(entry)
            except (KeyError, TypeError, ValueError, ConfigError) as error:
                raise RecordError(f"budget book: entry {number} can't be read ({type(error).__name__})") from None
            self.read = number

    def _take(self, entry: Mapping[str, object]) -> None:
        e = Facts(entry)
        kind = entry["kind"]
        if kind == "run":
            self.runs[str(entry["id"])] = run_of(e)
        elif kind == "charge":
            run = self.runs[str(entry["run"])]
            block = Spent(e.number("sigma"), e.number("sample_rate"), e.whole("steps"))
            if planned_noise(block, run.plan):
                run.charged += block.steps
            else:
                run.extra.append(block)
        elif kind == "budget":
            self.budget = Budget(e.number("epsilon"), e.number("delta"), unit_in(entry["unit"]))
            self.budgets.append(entry)
        else:
            raise ValueError(kind)


def unit_of(runs: Sequence[RunState]) -> Unit:
    """The unit to tell epsilon for where no budget says: users if all runs drew users, else records."""
    return "user" if runs and all(run.drawn == "user" for run in runs) else "record"


def exposure(blocks: Sequence[Spent], *, drawn: Unit, cap: int | None, unit: Unit, name: str = "run") -> list[Spent]:
    """The same blocks as they touch one record, or one user.

    A user drawn and clipped as a whole, seen by one record: that record changes the user's contribution, so the user is
    replaced, not removed. So is a record that leaves room under its user's cap for another. Records drawn by
    themselves, seen by a user: up to `cap` of them.

    Raises:
        ConfigError: a user's exposure can't be told, since the run doesn't say how many records a user has.
    """
    if unit == drawn and not (drawn == "record" and cap is not None):
        return list(blocks)
    if unit == "record":
        return [Spent(b.sigma, b.sample_rate, b.steps, neighbouring="replace-one") for b in blocks]
    if cap is None:
        raise ConfigError(
            f"{name}: its cost for a user can't be told: it draws single records and doesn't say how many a user has "
            "at most; give its cap, or set a budget per record"
        )
    return [Spent(b.sigma, b.sample_rate, b.steps, cap=cap) for b in blocks]


def joint_epsilon(runs: Sequence[RunState], delta: float, unit: Unit, *, coarse: bool = False) -> float:
    """What runs on overlapping data cost together, in nats: all composed by PLD, or less where a search allows it.

    Both are upper bounds, so the smaller one holds.

    Raises:
        ConfigError: a run's cost can't be told in this unit.
    """
    composed = composed_epsilon(runs, delta, unit, coarse=coarse)
    searched = searched_epsilon(runs, delta, unit)
    return composed if searched is None else min(composed, searched)


def composed_epsilon(runs: Sequence[RunState], delta: float, unit: Unit, *, coarse: bool = False) -> float:
    """Every step of every run, composed by PLD; infinite if too large to be told."""
    everything = [block for run in runs for block in _exposed(run, run.spent, unit)]
    return _epsilon(aggregated(everything), delta, coarse)


def searched_epsilon(runs: Sequence[RunState], delta: float, unit: Unit) -> float | None:
    """The same with each search of a declared random number of runs counted as that, by Rényi accounting.

    None: there is no such search, or a unit with several contributions, for which there is no formula.
    """
    groups = random_stopping(runs)
    inside = {run.id for members in groups for run in members}
    others = [block for run in runs if run.id not in inside for block in _exposed(run, run.spent, unit)]
    selections = [_selection(members, unit) for members in groups]
    blocks = [*others, *(block for selection in selections for block in selection.blocks)]
    if not groups or any(b.cap > 1 or b.neighbouring != "add-or-remove-one" for b in blocks):
        return None
    return _selected(tuple(selections), aggregated(others), delta)


def random_stopping(runs: Sequence[RunState]) -> list[list[RunState]]:
    """The searches with a declared random number of runs, each with its runs."""
    groups: dict[tuple[str, str], list[RunState]] = {}
    for run in runs:
        if run.tuning and run.tuning.mean_runs is not None and not (run.charged == 0 and not run.extra):
            groups.setdefault((run.tuning.group, run.data), []).append(run)
    return list(groups.values())


def _selection(members: Sequence[RunState], unit: Unit) -> Selection:
    first = members[0]
    assert first.tuning is not None  # noqa: S101 - see random_stopping
    assert first.tuning.mean_runs is not None  # noqa: S101
    # One run of the search in full: of each kind of step as many as any of them planned or took.
    most: dict[Spent, int] = {}
    for run in members:
        for block in aggregated([steps_of(run.plan, max(run.plan.steps, run.charged)), *run.extra]):
            kind = replace(block, steps=0)
            most[kind] = max(most.get(kind, 0), block.steps)
    blocks = _exposed(first, [replace(kind, steps=steps) for kind, steps in most.items()], unit)
    return Selection(aggregated(blocks), first.tuning.mean_runs, first.tuning.distribution)


def _exposed(run: RunState, blocks: Sequence[Spent], unit: Unit) -> list[Spent]:
    return exposure(blocks, drawn=run.drawn, cap=run.cap, unit=unit, name=f"run {run.id}")


@lru_cache(maxsize=512)
def _epsilon(merged: tuple[Spent, ...], delta: float, coarse: bool) -> float:
    try:
        return epsilon_pld(merged, delta, stretch=COARSE if coarse else 1.0)
    except TooLarge:
        return math.inf


@lru_cache(maxsize=64)
def _selected(selections: tuple[Selection, ...], others: tuple[Spent, ...], delta: float) -> float:
    return selected_epsilon(selections, delta, others=others)
