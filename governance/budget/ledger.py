"""The privacy budget book of a data set: every private run writes in it before it takes a step.

What is in the book is spent, whether or not the steps were taken: a killed run never leaves less than it took. All runs
on overlapping rows are composed, whatever scrub policy, file format or output folder they used.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from governance.budget.accounting import Spent
from governance.budget.admission import WhatIf, admit, what_if
from governance.budget.book import Book
from governance.budget.fingerprint import Fingerprint, Row, fingerprint
from governance.budget.prints import Prints
from governance.budget.reading import State, exposure, joint_epsilon, searched_epsilon, unit_of
from governance.budget.runs import (
    Budget,
    RunState,
    Tuning,
    Unit,
    check_run,
    check_same,
    entry_of,
    planned_noise,
)
from governance.errors import BudgetExceeded, ConfigError

__all__ = ["Budget", "BudgetExceeded", "Ledger", "Run", "Tuning", "WhatIf"]


class Ledger:
    """A data set's book; one per folder of data, shared by all who train on it.

    Args:
        folder: of the book, see `governance.budget.place`.
        create: make it if there is none; else it is only read.

    Raises:
        RecordError: the book is missing, or was changed.
        ConfigError: its key can't be used.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        self._book = Book(folder, create=create)
        self._state = State()
        self._prints = Prints(folder, self._expected_print, self._book.share)
        self._state.take(self._book.entries)

    @property
    def state(self) -> State:
        """The book as it was at the last look: don't change it."""
        return self._state

    @property
    def head(self) -> str:
        """Names all that is written so far: keep it with a claim, and `holds` tells whether the book was set back."""
        return self._book.head

    def holds(self, head: str) -> bool:
        """Whether all that the book held at that head is still in it."""
        return self._book.holds(head)

    def fingerprint(self, rows: Iterable[Row]) -> Fingerprint:
        """Identity of a data set under this book's key; rows as they are before scrubbing."""
        return fingerprint(rows, self._book.subkey("rows"))

    def set_budget(self, budget: Budget, *, reason: str = "") -> None:
        """Set the most that may be spent, or change it, for good and for all to see.

        Raises:
            ConfigError: there is another budget already and no reason is given.
        """
        with self._book.turn():
            self._state.take(self._book.entries)
            if self._state.budget == budget:
                return
            if self._state.budget is not None and not reason.strip():
                raise ConfigError(
                    f"{self.folder}: the budget is {self._state.budget}; to change it to {budget} give a reason, "
                    "which stays in the book"
                )
            for run in self._state.runs.values():  # a budget that can't be told is none
                exposure(run.spent, drawn=run.drawn, cap=run.cap, unit=budget.unit, name=f"run {run.id}")
            self._write({"kind": "budget", **asdict(budget), "reason": reason.strip()})

    def open_run(
        self,
        run_id: str,
        data: Fingerprint,
        plan: Spent,
        *,
        delta: float,
        label: str = "",
        drawn: Unit = "record",
        cap: int | None = None,
        tuning: Tuning | None = None,
        budget: Budget | None = None,
        partial: bool = False,
    ) -> Run:
        """Enter a run, or go on with it: the same id, data and plan give back what it has charged.

        Args:
            run_id: its name for good.
            data: its rows' fingerprint by this ledger.
            plan: noise, rate and planned steps; its `cap` is left at 1.
            delta: of the run's own claim.
            label: for people.
            drawn: what joins a step by chance and is clipped: a record, or all of a user's records at once.
            cap: most records of one user in this data, where records are drawn; None: unknown.
            tuning: the search that the run is part of.
            budget: what the run's settings ask for; set if the book has none.
            partial: open it although its last steps won't fit.

        Raises:
            BudgetExceeded: the planned steps don't fit into the budget.
            ConfigError: another budget is in force, or the run differs from what the book has under its id.
        """
        state = RunState(run_id, label, _now(), data.digest, data.rows, plan, delta, drawn, cap, tuning)
        check_run(state)
        with self._book.turn():
            self._state.take(self._book.entries)
            self._settle(budget)
            known = self._state.runs.get(run_id)
            if known is not None:
                check_same(known, state)
            else:
                self._check_group(state)
            left = plan.steps - (known.charged if known else 0)
            if left > 0 and not partial:
                self._admit(known or state, data, steps=left)
            if known is None:
                self._write(entry_of(state, self._prints.keep(data)))
        return Run(self, run_id)

    def what_if(
        self,
        plan: Spent,
        *,
        delta: float,
        drawn: Unit = "record",
        cap: int | None = None,
        data: Fingerprint | None = None,
        tuning: Tuning | None = None,
    ) -> WhatIf:
        """What a planned run would cost beside what is spent; nothing is written.

        Args:
            plan: noise, rate and steps.
            delta: at which to tell epsilon if there is no budget.
            drawn: as in `open_run`.
            cap: as in `open_run`.
            data: its rows; None: rows that all runs in the book have read.
            tuning: with a random number of runs, `plan` is one of them.
        """
        budget = self._state.budget
        planned = RunState("planned", "", "", "", 0, plan, delta, drawn, cap, tuning)
        check_run(planned)
        at, unit = (budget.delta, budget.unit) if budget else (delta, unit_of([*self._state.runs.values(), planned]))
        return what_if(planned, self._beside(data, unit), budget, delta=at, unit=unit)

    def together(self, data: Fingerprint | str, *, delta: float, unit: Unit, as_searches: bool = False) -> float:
        """Epsilon of all runs on these rows, at this delta and in this unit.

        Args:
            data: the rows.
            delta: in (0, 1).
            unit: record or user.
            as_searches: count a search as its declared distribution of runs even where those that ran so far, composed,
                cost less: others are to come, and how many was drawn in secret.

        Raises:
            ConfigError: a run's cost can't be told in this unit.
        """
        runs = self._beside(data, unit)
        searched = searched_epsilon(runs, delta, unit) if as_searches else None
        return joint_epsilon(runs, delta, unit) if searched is None else searched

    def epsilon(self, *, data: Fingerprint | str | None = None, delta: float | None = None) -> float:
        """What was spent, in the budget's unit: by all runs on rows that some run shares with the most others.

        Args:
            data: only runs that overlap this data set.
            delta: where there is no budget. [default: the smallest of the runs']
        """
        runs = list(self._state.runs.values())
        if not runs:
            return 0.0
        budget = self._state.budget
        at = budget.delta if budget else delta or min(run.delta for run in runs)
        unit = budget.unit if budget else unit_of(runs)
        seen = [data] if data is not None else list(dict.fromkeys(run.data for run in runs))
        return max(joint_epsilon(self._beside(one, unit), at, unit) for one in seen)

    def _beside(self, data: Fingerprint | str | None, unit: Unit) -> list[RunState]:
        """Runs that read some of the same rows; all of them for users, who may have other rows in other runs."""
        runs = list(self._state.runs.values())
        return runs if data is None or unit == "user" else [run for run in runs if self.overlapping(data, run.data)]

    def overlapping(self, one: Fingerprint | str, other: Fingerprint | str) -> bool:
        """Whether two data sets, or those that the book knows by these digests, share rows as far as can be told."""
        return self._prints.overlapping(one, other)

    def charge(self, run_id: str, block: Spent) -> None:
        """`Run.charge_block` of an opened run."""
        with self._book.turn():
            self._state.take(self._book.entries)
            run = self._state.runs[run_id]
            if planned_noise(block, run.plan):
                self._admit(run, run.data, steps=block.steps)
            else:
                self._admit(run, run.data, steps=0, extra=(block,))
            facts = {"steps": block.steps, "sigma": block.sigma, "sample_rate": block.sample_rate}
            self._write({"kind": "charge", "run": run_id, **facts})

    def _admit(self, run: RunState, data: Fingerprint | str, *, steps: int, extra: tuple[Spent, ...] = ()) -> None:
        budget = self._state.budget
        if budget is not None:
            others = [other for other in self._beside(data, budget.unit) if other.id != run.id]
            admit(run, others, budget, steps=steps, extra=extra, where=str(self.folder))

    def _settle(self, budget: Budget | None) -> None:
        held = self._state.budget
        if budget is None or budget == held:
            return
        if held is not None:
            raise ConfigError(
                f"{self.folder}: the run asks for a budget of {budget}, the book has {held}; change the run's, or the "
                "book's by steelyard budget --set-epsilon with a reason"
            )
        self._write({"kind": "budget", **asdict(budget), "reason": "the first run's setting"})

    def _check_group(self, run: RunState) -> None:
        """Runs of a random-stopping search are equal: else its formula doesn't hold."""
        if run.tuning is None:
            return
        for other in self._state.runs.values():
            if other.tuning is None or other.tuning.group != run.tuning.group or other.data != run.data:
                continue
            equal = (other.plan, other.drawn, other.cap) == (run.plan, run.drawn, run.cap)
            if other.tuning != run.tuning or (run.tuning.mean_runs is not None and not equal):
                raise ConfigError(
                    f"tuning.group {run.tuning.group!r}: run {run.id} differs from run {other.id} in its plan or in "
                    "how the number of runs is drawn; a search with a random number of runs repeats one plan"
                )

    def _write(self, entry: Mapping[str, object]) -> None:
        self._book.append({**entry, "at": entry.get("at") or _now()})
        self._state.take(self._book.entries)

    def _expected_print(self, digest: str) -> tuple[int, str]:
        entry = next(e for e in self._book.entries if e["kind"] == "run" and e["data"] == digest)
        return int(str(entry["rows"])), str(entry["sketch"])


class Run:
    """One run's account."""

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        self._ledger, self.id = ledger, run_id

    @property
    def state(self) -> RunState:
        """The run as the book has it."""
        return self._ledger.state.runs[self.id]

    @property
    def charged(self) -> int:
        """Steps of the plan charged so far, by earlier attempts too."""
        return self.state.charged

    @property
    def spent(self) -> tuple[Spent, ...]:
        """All blocks charged: what the run's own claim must cover."""
        return self.state.spent

    @property
    def cumulative(self) -> float:
        """Epsilon of all runs on these rows, at the budget's delta, else at this run's."""
        return self._ledger.epsilon(data=self.state.data, delta=self.state.delta)

    @property
    def head(self) -> str:
        """The book's head: keep it with the claim."""
        return self._ledger.head

    def charge(self, steps: int) -> None:
        """Pay for the next steps of the plan; when it returns, they are on the disk and may be taken.

        Raises:
            BudgetExceeded: they don't fit; nothing was written.
        """
        self.charge_block(Spent(self.state.plan.sigma, self.state.plan.sample_rate, steps))

    def charge_block(self, block: Spent) -> None:
        """Pay for another mechanism of the same run, such as a noisy histogram (`sample_rate` 1).

        Raises:
            BudgetExceeded: it doesn't fit; nothing was written.
        """
        if block.steps < 1:
            raise ConfigError(f"run {self.id}: expected at least one step to charge, got {block.steps}")
        if block.cap != 1 or block.neighbouring != "add-or-remove-one":
            raise ConfigError(f"run {self.id}: expected a block of single contributions; the book adds the run's cap")
        self._ledger.charge(self.id, block)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
