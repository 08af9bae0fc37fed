"""What changed since an earlier run, whether the inputs drifted, and what may be said of many figures together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome
from governance.policy import Status
from governance.statements import Family, Kind, Statement, families
from governance.vocabulary import CHANGE, DRIFT
from reports.blocks import Block, Cell, Chapter, Table, cell, generic
from reports.text import Texts, clean
from reports.view import View

NAMED = 6  # claims that a sentence spells out
MOST = 400  # figures that a page lists; the judgement's changes.json has all


def sentences(view: View, kinds: Sequence[Kind] = get_args(Kind)) -> list[str]:
    """A sentence per family of claims, with the correction that it carries.

    Which slices failed is said only where a control found one that did.
    """
    found = [one for one in families(view.record, view.policy, view.changes) if one.kind in kinds]
    failing = any(
        finding.status is Status.FAIL and finding.slice != EVERYONE.label()
        for finding in view.verdict.of(view.record.candidate).findings
    )
    return [_sentence(view.texts, family) for family in found if family.kind != "failed" or failing]


def _sentence(texts: Texts, family: Family) -> str:
    counted = texts.count(len(family.statements))
    if not family.shown:
        return texts(f"statement.{family.kind}.none", tested=counted)
    items = [_named(texts, one) for one in family.shown[:NAMED]]
    if len(family.shown) > NAMED:
        items.append(texts("statement.more", n=texts.count(len(family.shown) - NAMED)))
    return texts(f"statement.{family.kind}.some", items=texts("list.long").join(items), tested=counted)


def _named(texts: Texts, one: Statement) -> str:
    title = texts.metric(one.metric if one.control else one.metric.removesuffix(CHANGE)).title
    if one.slice == EVERYONE:
        return title
    return texts("statement.where", metric=title, where=texts.slice(one.slice))


def changed_table(view: View) -> Table | None:
    """The candidate's figures for all rows: then, now, and the change with its interval; None without a baseline."""
    texts, candidate = view.texts, view.record.candidate
    rows = []
    for one in view.changes:
        if one.model != candidate or one.slice != EVERYONE or isinstance(one, NotMeasured):
            continue
        if one.metric.startswith(DRIFT):
            continue
        before, now = _sides(view, one)
        title = texts.metric(one.metric.removesuffix(CHANGE)).title
        rows.append([Cell(title), before, now, cell(view, one), Cell(texts.said(one.method))])
    if not rows:
        return None
    head = [Cell(texts(f"changes.{name}")) for name in ("figure", "before", "now", "change", "method")]
    return Table(texts("changes.candidate"), head, rows)


def _sides(view: View, change: Measurement | Fact) -> tuple[Cell, Cell]:
    """What either run reports, in the figure's own unit."""
    stem = change.metric.removesuffix(CHANGE)
    outcome = view.find(stem, change.model, change.slice)
    if not isinstance(change, Measurement) or isinstance(outcome, NotMeasured) or outcome is None:
        blank = Cell(view.texts("missing"), kind="missing")
        return blank, cell(view, outcome) if isinstance(outcome, Fact) else blank
    before, now = (
        Cell(view.texts.number(change.counts[side], outcome.unit, stem), kind="number")
        if side in change.counts
        else Cell(view.texts("missing"), kind="missing")
        for side in ("before", "now")
    )
    return before, now


def chapter(view: View) -> Chapter | None:
    """The chapter; None where nothing was compared with an earlier run."""
    texts = view.texts
    if not view.changes:
        return None
    drift = [one for one in view.changes if one.metric.startswith(DRIFT)]
    drift = [one for one in drift if one.model in (None, view.record.candidate)]
    blocks = []
    if (table := changed_table(view)) is not None:
        blocks.append(Block(title=texts("changes.candidate"), text=[texts("changes.candidate.text")], tables=[table]))
    if drift:
        blocks.append(
            Block(
                title=texts("changes.drift"),
                text=[texts("changes.drift.text")],
                tables=[generic(view, drift, texts("changes.drift"))],
            )
        )
    if said := sentences(view, ("improved", "worsened")):
        blocks.append(Block(title=texts("statement.title"), items=said))
    rest = _rest(view, drift)
    if rest:
        title = texts("changes.rest")
        text = [texts("changes.most", n=texts.count(MOST), all=texts.count(len(rest)))] if len(rest) > MOST else []
        blocks.append(Block(title=texts("more"), text=text, tables=[generic(view, rest[:MOST], title)], folded=title))
    lead = texts("changes.lead", digest=clean(view.verdict.baseline or "", 80))
    return Chapter("changes", texts("changes.title"), lead, blocks)


def _rest(view: View, shown: Sequence[Outcome]) -> list[Outcome]:
    """What the tables above leave out, what has a number first, the candidate's before the others'."""
    candidate, taken = view.record.candidate, {id(one) for one in shown}
    rest = []
    for one in view.changes:
        told = one.model == candidate and one.slice == EVERYONE and not isinstance(one, NotMeasured)
        if not told and id(one) not in taken:
            rest.append(one)
    return sorted(rest, key=lambda one: (isinstance(one, NotMeasured), one.model not in (None, candidate)))
