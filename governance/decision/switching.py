"""What moving from the incumbent to another model costs: once, and every month."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from governance.record import ModelEntry, RunRecord

ONCE, MONTH = "decision.switch_once", "decision.switch_month"


def switch_costs(record: RunRecord, entry: ModelEntry, cost: Callable[[str], Outcome]) -> dict[str, Outcome]:
    """The cost of a switch, as "switch_once" and "switch_month".

    Args:
        record: names the incumbent, and the requests of a month.
        entry: the model to move to.
        cost: model -> what 1,000 rows cost.
    """
    incumbent = record.incumbent
    if incumbent is None or entry.name == incumbent:
        reason = "the config names no incumbent" if incumbent is None else "it is the incumbent"
        found = [NotMeasured(metric=metric, model=entry.name, reason=reason) for metric in (ONCE, MONTH)]
        return {"switch_once": found[0], "switch_month": found[1]}
    month = _monthly(cost(entry.name), cost(incumbent), record.requests_per_month, entry.name, incumbent)
    return {"switch_once": _once(entry), "switch_month": month}


def _once(entry: ModelEntry) -> Outcome:
    facts = entry.vendor_facts
    stated = facts.facts.switch_cost if facts else None
    if facts is None or stated is None:
        return NotMeasured(metric=ONCE, model=entry.name, reason="no vendor file states it")
    method = f"in {facts.currency}; {stated.source}, read on {stated.read_on}"
    return Fact(metric=ONCE, model=entry.name, value=stated.value, unit=Unit.MONEY, method=method)


def _monthly(new: Outcome, old: Outcome, requests: int | None, name: str, incumbent: str) -> Outcome:
    """The difference of both prices, for a month."""
    about: dict[str, Any] = {"metric": MONTH, "model": name, "reference": incumbent}
    if requests is None:
        return NotMeasured(reason="the config states no requests_per_month", **about)
    if isinstance(new, NotMeasured) or isinstance(old, NotMeasured):
        return NotMeasured(reason="one of the two prices isn't known", **about)
    currency = currency_of(new)
    if currency is None or currency != currency_of(old):
        return NotMeasured(reason="the two prices are not in one currency", **about)
    scale, (low, high), (old_low, old_high) = requests / 1000, interval(new), interval(old)
    about |= {
        "value": (new.value - old.value) * scale,
        "unit": Unit.MONEY,
        "method": f"difference of prices in {currency}, {requests:,} requests a month",
    }
    measured = [one for one in (new, old) if isinstance(one, Measurement)]
    if not measured:
        return Fact(**about)
    return Measurement(  # ends of intervals subtracted: too wide rather than too narrow
        low=None if low is None or old_high is None else (low - old_high) * scale,
        high=None if high is None or old_low is None else (high - old_low) * scale,
        level=min(one.level for one in measured),
        n=min(one.n for one in measured),
        **about,
    )


def currency_of(cost: Outcome) -> str | None:
    """The currency that a cost's method names; None: there is no cost, or it names none.

    >>> currency_of(Fact(metric="quality.cost", value=1, unit=Unit.MONEY, method="by tokens, in CNY; bootstrap"))
    'CNY'
    """
    named = None if isinstance(cost, NotMeasured) else re.search(r"\b[A-Z]{3}\b", cost.method)
    return named.group() if named else None


def interval(outcome: Measurement | Fact) -> tuple[float | None, float | None]:
    """Both ends of a figure; a fact is its own."""
    return (outcome.low, outcome.high) if isinstance(outcome, Measurement) else (outcome.value, outcome.value)
