"""A training run's account in the budget book of its data set: opened once, charged before every block of steps."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from governance.budget.accounting import Spent
from governance.budget.fingerprint import Fingerprint
from governance.budget.ledger import Ledger, Run
from governance.budget.reading import unit_of
from governance.budget.runs import Budget, Tuning, Unit
from governance.claims import PrivacyClaim
from governance.errors import ConfigError
from governance.files import write_atomic

NAME = "run.id"


class Account:
    """What a private loop pays with. See `governance.training.loop.Charges`.

    Args:
        run: the run as the book has it.
        ledger: the book.
    """

    def __init__(self, run: Run, ledger: Ledger) -> None:
        self._run, self._ledger = run, ledger

    @property
    def place(self) -> tuple[Path, str]:
        """Folder of the book, and the run's name in it: for another process, which pays instead of this one."""
        return self._ledger.folder, self._run.id

    @property
    def charged(self) -> int:
        """Steps paid for so far, by earlier attempts too."""
        return self._run.charged

    def charge(self, steps: int) -> None:
        """Pay for so many more; when it returns, they are on the disk.

        Raises:
            BudgetExceeded: they don't fit into the data set's budget; nothing was paid.
        """
        self._run.charge(steps)

    def noted(self, claim: PrivacyClaim) -> PrivacyClaim:
        """A claim with what all runs on these rows cost, in its own unit and at its own delta.

        Left out where a run's cost can't be told in that unit.
        """
        try:
            spent = self._ledger.together(
                self._run.state.data,
                delta=claim.delta,
                unit=claim.unit,  # type: ignore[arg-type]
                as_searches=self._run.state.tuning is not None,
            )
        except ConfigError:
            return claim
        # The book has one accountant, the claim the larger of two: all runs never cost less than this one.
        return replace(claim, ledger_epsilon=max(spent, claim.epsilon), ledger_runs=self.together)

    @property
    def cumulative(self) -> float:
        """Epsilon of all runs on these rows, this one included; a search as the number of runs that it may have."""
        state = self._run.state
        if state.tuning is None:
            return self._run.cumulative
        budget = self._ledger.state.budget
        unit = budget.unit if budget else unit_of([state])
        delta = budget.delta if budget else state.delta
        return self._ledger.together(state.data, delta=delta, unit=unit, as_searches=True)

    @property
    def together(self) -> int:
        """How many runs that is; a search whose number of runs was drawn in secret counts as one."""
        data, found = self._run.state.data, set()
        for run in self._ledger.state.runs.values():
            if run.charged and self._ledger.overlapping(run.data, data):
                secret = run.tuning is not None and run.tuning.mean_runs is not None
                found.add(("search", run.tuning.group) if run.tuning is not None and secret else ("run", run.id))
        return len(found)


def open_account(
    book: Path,
    working: Path,
    *,
    fingerprint: Callable[[Ledger], Fingerprint],
    spent: Spent,
    delta: float,
    label: str,
    drawn: Unit,
    cap: int | None,
    budget: Budget | None,
    partial: bool = False,
    tuning: Tuning | None = None,
) -> Account:
    """Open a run's account, or go on with it.

    The run's name is drawn once and kept with its checkpoints: whoever loses these has lost what was paid for, and the
    next attempt is another run that pays again.

    Args:
        book: folder of the data set's book.
        working: folder of the run's checkpoints.
        fingerprint: of the raw training rows, by this book's key.
        spent: the plan's noise, rate and steps.
        delta: of the run's claim.
        label: for people.
        drawn: what joins a step by chance.
        cap: most rows of one user; None: unknown.
        budget: that the config asks for.
        partial: open it although its last steps won't fit.
        tuning: the search that the run is part of.

    Raises:
        BudgetExceeded: the planned steps don't fit.
        ConfigError: the book has another budget, or the run differs from what the book has.
        RecordError: the book was tampered with.
    """
    name = working / NAME
    if not name.exists():
        write_atomic(name, secrets.token_hex(8).encode())
    ledger = Ledger(book)
    run = ledger.open_run(
        name.read_text(),
        fingerprint(ledger),
        spent,
        delta=delta,
        label=label,
        drawn=drawn,
        cap=cap,
        budget=budget,
        partial=partial,
        tuning=tuning,
    )
    return Account(run, ledger)
