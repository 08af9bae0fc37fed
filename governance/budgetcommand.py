"""What `steelyard budget` does: show a book, set its budget, tell what a planned run would cost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from governance.budget.accounting import Spent
from governance.budget.admission import WhatIf
from governance.budget.ledger import Ledger
from governance.budget.place import find_book, place_for, state_book
from governance.budget.runs import Budget, Tuning, Unit
from governance.budget.summary import summarise
from governance.budget.tuning import Distribution
from governance.errors import ConfigError, RecordError
from governance.files import write_atomic

DOES_NOT_FIT = 1
NUMBERS = ("epsilon", "sigma", "sample_rate", "delta", "runs")
WHOLE = ("steps", "cap")
WORDS: dict[str, tuple[str, ...]] = {"drawn": get_args(Unit), "distribution": get_args(Distribution)}


def budget_command(
    path: Path,
    *,
    echo: Callable[[str], None],
    as_json: bool,
    plot: Path | None,
    what_if: str | None,
    set_epsilon: float | None,
    delta: float | None,
    unit: Unit,
    reason: str,
    holds: str | None,
) -> int:
    """Set the budget if asked, then answer.

    Returns:
        The exit code: 1 if a planned run doesn't fit.

    Raises:
        RecordError: there is no book, or it was changed.
        ConfigError: a setting is missing or wrong.
    """
    if set_epsilon is not None:
        if delta is None:
            raise ConfigError("--set-epsilon: expected --delta beside it: a budget is both, such as --delta 1e-6")
        Ledger(_place(path)).set_budget(Budget(set_epsilon, delta, unit), reason=reason)
    ledger = Ledger(find_book(path), create=False)
    if holds is not None and not ledger.holds(holds):
        raise RecordError(f"{ledger.folder}: the book does not hold what it held at head {holds}: it was set back")
    from reports import budget as views

    if what_if is not None:
        planned = _parsed(what_if)
        plan, answer = _ask(ledger, planned)
        echo(json.dumps(_json(plan, answer)) if as_json else views.what_if(plan, answer, ledger.state.budget))
        return DOES_NOT_FIT if answer.fits is False else 0
    summary = summarise(ledger)
    if plot is not None:
        write_atomic(plot, views.chart(summary).encode())
    echo(json.dumps(summary.to_json(), ensure_ascii=False) if as_json else views.table(summary))
    return 0


def _place(path: Path) -> Path:
    """Where to set a budget: the book that is there, else a new one beside the data."""
    try:
        return find_book(path)
    except RecordError:
        if not path.exists():
            raise
        return place_for(path, fallback=state_book(path))


def _ask(ledger: Ledger, planned: dict[str, Any]) -> tuple[Spent, WhatIf]:
    budget = ledger.state.budget
    delta = planned.get("delta") or (budget.delta if budget else None)
    missing = [name for name in ("sample_rate", "steps") if name not in planned]
    if ("sigma" in planned) == ("epsilon" in planned):
        missing.insert(0, "one of sigma and epsilon")
    if delta is None:
        missing.append("delta")
    if missing or delta is None:
        raise ConfigError(f"--what-if: expected {', '.join(missing)}; such as epsilon=3,sample_rate=0.01,steps=1000")
    sigma = planned.get("sigma")
    if sigma is None:
        from governance.budget.calibration import sigma_for

        sigma = sigma_for(planned["epsilon"], delta, planned["sample_rate"], planned["steps"])
    plan = Spent(sigma, planned["sample_rate"], planned["steps"])
    tuning = Tuning("planned", planned["runs"], planned.get("distribution", "poisson")) if "runs" in planned else None
    answer = ledger.what_if(
        plan, delta=delta, drawn=planned.get("drawn", "record"), cap=planned.get("cap"), tuning=tuning
    )
    return plan, answer


def _parsed(text: str) -> dict[str, Any]:
    """`name=value,...` into typed values."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        name = name.replace("-", "_")
        known = (*NUMBERS, *WHOLE, *WORDS)
        if not equals or name not in known:
            raise ConfigError(
                f"--what-if: expected name=value, comma, and so on, found {part!r}; known: {', '.join(known)}"
            )
        if name in WORDS:
            if value not in WORDS[name]:
                raise ConfigError(f"--what-if: {name}: no {value!r}. Known: {', '.join(WORDS[name])}.")
            found[name] = value
            continue
        try:
            number = float(value)
            found[name] = int(value) if name in WHOLE else number
        except ValueError:
            kind = "whole number" if name in WHOLE else "number"
            raise ConfigError(f"--what-if: {name}: expected a {kind}, found {value!r}") from None
    return found


def _json(plan: Spent, answer: WhatIf) -> dict[str, object]:
    epsilons = {name: getattr(answer, name) for name in ("alone", "before", "after", "selected")}
    told = {name: value if value is not None and math.isfinite(value) else None for name, value in epsilons.items()}
    planned = {"sigma": plan.sigma, "sample_rate": plan.sample_rate, "steps": plan.steps}
    return {**planned, **told, "fits": answer.fits, "steps_that_fit": answer.steps_that_fit}
