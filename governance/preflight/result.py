"""What a preflight comes to: as an exit code, as JSON, and as tables for people."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from governance.policy import Policy
from governance.preflight.bill import Bill
from governance.preflight.controls import Need
from governance.preflight.plan import Assumed, Standing

SHORT = 3
_WIDTH = 100  # columns at least
_STUCK = (Standing.SHORT, Standing.NEVER)


@dataclass(frozen=True)
class Training:
    """What a vendor's fine-tuning of a model will cost."""

    model: str
    rows: int
    tokens: int
    epochs: int
    cost: float
    currency: str
    budget: float

    @property
    def covered(self) -> bool:
        """Whether its budget will do."""
        return self.cost <= self.budget


@dataclass(frozen=True)
class Preflight:
    """What is known of an audit before it runs.

    Attributes:
        audit: its name.
        candidate: whose verdict it is.
        policy: what will judge it.
        rows: rows trained on, held out, and clusters that the latter come in.
        needs: of every control, for every model.
        bills: of every model behind an API.
        trainings: of every model that a vendor trains.
        assumed: what was taken for granted.
    """

    audit: str
    candidate: str
    policy: Policy
    rows: Mapping[str, int]
    needs: Sequence[Need]
    bills: Sequence[Bill]
    trainings: Sequence[Training]
    assumed: Assumed

    @property
    def undecided(self) -> list[Need]:
        """What keeps the candidate from a verdict: blocking controls that so many rows can't decide."""
        return [one for one in self.needs if one.model == self.candidate and one.decides and one.standing in _STUCK]

    @property
    def exit_code(self) -> int:
        """3 where the candidate can't pass for lack of rows, or a budget won't do; else 0."""
        covered = all(bill.covered for bill in self.bills) and all(training.covered for training in self.trainings)
        return 0 if covered and not self.undecided else SHORT


def told(found: Preflight, *, every: bool = False) -> Iterator[str]:
    """What is printed for people, in pieces of one or more lines.

    Args:
        found: what is known.
        every: tell all models' controls, not only the candidate's.
    """
    rows, policy, a = found.rows, found.policy, found.assumed
    held_out, clusters, trained_on = (f"{rows[name]:,}" for name in ("held_out", "clusters", "trained_on"))
    yield (
        f"{found.audit}: {held_out} rows held out in {clusters} clusters, {trained_on} to train on; "
        f"judged by {policy.name} {policy.version}."
    )
    yield (
        f"Assumed: a model is {a.margin:g} better than each bound, to be proven {a.power:.0%} of the times; it is "
        f"right {a.rate:.0%} of the times;\nmodels differ by a variance of {a.variance:g}; "
        f"rows of one cluster correlate by {a.correlation:g}."
    )
    others = dict.fromkeys(one.model for one in found.needs if one.model != found.candidate)
    for model in (found.candidate, *others):
        own = [one for one in found.needs if one.model == model]
        if every or model == found.candidate:
            yield from _of_model(model, own, candidate=model == found.candidate)
        elif lacking := [one for one in own if one.standing in _STUCK and one.decides]:
            yield f"{model}, not the candidate: {len(lacking)} of {len(own)} can't be decided; --all tells which."
    if found.bills:
        yield "\nWhat answers cost"
        yield _table(
            ("model", "requests", "tokens read", "written", "costs", "budget", "takes"), map(_priced, found.bills)
        )
    for one in found.trainings:
        yield (
            f"{one.model}: the vendor trains on about {one.tokens:,} tokens x {one.epochs} epochs, for "
            f"{one.cost:.2f} of {one.budget:g} {one.currency}."
        )
    yield from _concluded(found)


def _of_model(model: str, own: Sequence[Need], *, candidate: bool) -> Iterator[str]:
    planned = [one for one in own if one.standing is not Standing.OTHER]
    yield f"\nRows that {model} needs" + (", the candidate" if candidate else "")
    yield _table(
        ("control", "speaks of", "needs", "has", "enough?"),
        [
            (one.control, one.slice, "" if one.needs is None else f"{one.needs:,}", f"{one.has:,}", _says(one))
            for one in planned
        ],
    )
    others = dict.fromkeys(one.control for one in own if one.standing is Standing.OTHER)
    if others:
        yield f"Not a matter of rows held out: {', '.join(others)}."


def _says(need: Need) -> str:
    words = {Standing.ENOUGH: "yes", Standing.SHORT: "NO", Standing.NEVER: "NEVER", Standing.OTHER: ""}
    only_warns = "" if need.decides or need.standing not in _STUCK else " (only warns)"
    return f"{words[need.standing]}{only_warns}: {need.says}"


def _priced(bill: Bill) -> tuple[str, ...]:
    about, top = bill.about, bill.most
    money = "no price stated"
    if bill.cost is not None and bill.cost_most is not None:
        money = f"about {bill.cost:.4g}, at most {bill.cost_most:.4g} {bill.currency}"
    budget = "no limit" if bill.budget is None else f"{bill.budget:g}: {'will do' if bill.covered else 'TOO SMALL'}"
    reads = f"about {about.read:,}, at most {top.read:,}"
    return bill.model, f"{bill.requests:,}", reads, f"{about.written:,}", money, budget, _time(bill)


def _time(bill: Bill) -> str:
    if not bill.minutes:
        return "as long as it answers"
    return f"{bill.minutes:,.0f} min or more" if bill.minutes < 120 else f"{bill.minutes / 60:,.1f} h or more"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        number = name in ("needs", "has", "requests", "written")
        table.add_column(name, overflow="fold", justify="right" if number else "left", no_wrap=number)
    for row in rows:
        table.add_row(*map(Text, row))
    out = io.StringIO()
    width = max(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    Console(file=out, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())


def _concluded(found: Preflight) -> Iterator[str]:
    """What to do about it."""
    yield ""
    wanted = [one for one in found.undecided if one.needs is not None]
    if wanted:
        worst = max(wanted, key=lambda one: one.needs or 0)
        yield (
            f"{found.candidate} can't be proven right on {len(wanted)} of its bounds. '{worst.control}' needs most: "
            f"{worst.needs:,} held-out rows, not {worst.has:,}.\nSet data.rows or data.test_share higher, compare "
            "fewer or larger groups, or ask for less in a policy of your own."
        )
    for one in found.undecided:
        if one.needs is None:
            yield f"control '{one.control}', {one.slice}: {one.says}."
    for bill in found.bills:
        if not bill.covered:
            yield f"models.{bill.model}.budget: {bill.budget:g} won't do; {bill.says}."
    for training in found.trainings:
        if not training.covered:
            where = f"models.{training.model}.fine_tune.budget"
            yield f"{where}: {training.budget:g} won't do; it costs about {training.cost:.2f}."
    if found.exit_code == 0:
        yield f"{found.candidate} can pass with these rows, if it is as good as assumed."


def as_json(found: Preflight) -> Mapping[str, Any]:
    """What is printed for machines."""
    return {
        "audit": found.audit,
        "candidate": found.candidate,
        "policy": found.policy.name,
        "policy_version": found.policy.version,
        "rows": dict(found.rows),
        "assumed": asdict(found.assumed),
        "controls": [asdict(one) for one in found.needs],
        "bills": [{**asdict(one), "about": one.about._asdict(), "most": one.most._asdict()} for one in found.bills],
        "trainings": [{**asdict(one), "covered": one.covered} for one in found.trainings],
        "undecided": [f"{one.control}: {one.slice}" for one in found.undecided],
        "exit_code": found.exit_code,
    }
