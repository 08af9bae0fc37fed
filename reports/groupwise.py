"""Parts of the fairness chapter: each group against the rest, what a policy tolerates, the worst slices in words."""

from __future__ import annotations

from collections.abc import Sequence

from governance.measure import ANY, Fact, Measurement, NotMeasured, Outcome, Slice, reading_order
from governance.policy import Control
from reports.blocks import Block, Cell, Panel, Shelf, Table, axis_of, cell, scaled
from reports.charts import Point, forest
from reports.text import base_name, clean, scale_of
from reports.view import ModelView, View

AGAINST = ("difference_to_rest", "ratio_to_rest", "ratio_to_best")
GROUPS = 14
"""Groups that fit into one chart; the table has all."""


def against_rest(shelf: Shelf, column: str, name: str, drawn: Sequence[ModelView]) -> Block | None:
    """Each group of a column beside all others: one chart of the first figure that has any, one table per figure."""
    view, texts = shelf.view, shelf.view.texts
    stems = (
        base_name(outcome.metric)[0].removeprefix("fairness.")
        for outcome in view.record.outcomes
        if base_name(outcome.metric)[1] in AGAINST and [one for one, _ in outcome.slice] == [column]
    )
    rates = sorted(dict.fromkeys(stems), key=lambda stem: stem != "selection_rate")
    tables = [table for rate in rates for made in AGAINST if (table := _table(shelf, column, f"{rate}.{made}"))]
    if not tables:
        return None
    drawable = (_panel(view, column, f"{rate}.{AGAINST[0]}", name, drawn) for rate in rates)
    panels = [panel for panel in drawable if panel is not None][:1]
    title = texts("fairness.rest.title", column=clean(column, 60))
    return Block(
        title=title,
        text=[texts("fairness.rest.text")],
        panels=panels,
        tables=tables,
        folded=texts("fold.tables"),
        key=drawn,
    )


def _found(view: View, metric: str, column: str, model: ModelView) -> dict[str, Outcome]:
    return {
        outcome.slice.pairs[0][1]: outcome
        for outcome in view.all(f"fairness.{metric}", model.name)
        if [one for one, _ in outcome.slice] == [column] and outcome.slice.pairs[0][1] != ANY
    }


def _table(shelf: Shelf, column: str, metric: str) -> Table | None:
    view = shelf.view
    found = {model.name: _found(view, metric, column, model) for model in view.charted}
    values = sorted({value for outcomes in found.values() for value in outcomes}, key=reading_order)
    if not values:
        return None
    for outcomes in found.values():
        shelf.take(outcomes.values())
    head = [Cell(clean(column, 60)), *(Cell(model.label, model=model) for model in view.charted)]
    rows = [
        [Cell(value), *(cell(view, found[model.name].get(value), size=True) for model in view.charted)]
        for value in values
    ]
    return Table(view.texts.metric(f"fairness.{metric}").title, head, rows)


def _panel(view: View, column: str, metric: str, name: str, drawn: Sequence[ModelView]) -> Panel | None:
    points, unit = list[Point](), None
    found = {model.name: _found(view, metric, column, model) for model in drawn}
    for value in sorted({value for outcomes in found.values() for value in outcomes}, key=reading_order)[:GROUPS]:
        for model in drawn:
            outcome = found[model.name].get(value)
            if isinstance(outcome, Measurement):
                unit = outcome.unit
                points.append(Point(value, model.mark, *scaled(outcome)))
    if unit is None:
        return None
    told = view.texts.metric(f"fairness.{metric}")
    title = view.texts("chart.by", title=told.title, column=clean(column, 60))
    axis = axis_of(view.texts, f"fairness.{metric}", unit)
    svg = forest(points, name=f"rest-{name}", title=title, axis=axis, zero=0.0)
    return Panel(told.title, told.says, svg)


def tolerated(view: View, metric: str, where: Slice, controls: Sequence[Control]) -> float | None:
    """The bound that a policy sets to a gap, on its axis."""
    found = (one for model in view.charted for one in view.all(metric, model.name) if one.slice == where)
    outcome = next((one for one in found if isinstance(one, Measurement)), None)
    for control in controls:
        if isinstance(outcome, Measurement) and control.matches(outcome, incumbent=None):
            return view.policy.bound(control) * scale_of(metric, outcome.unit)
    return None


def worst_slices(shelf: Shelf) -> Block | None:
    """Where each model errs most, in words; says so where nothing was confirmed."""
    view, texts = shelf.view, shelf.view.texts
    items, notes = list[str](), list[str]()
    for model in view.charted:
        found = view.find("slices.confirmed", model.name)
        if found is None:
            continue
        slices = [one for one in view.all("slices.error", model.name) if isinstance(one, Measurement)]
        shelf.take([found, *slices])
        if isinstance(found, NotMeasured):
            notes.append(texts("slices.unknown", model=model.label, reason=texts.said(found.reason)))
            continue
        assert isinstance(found, Fact)  # noqa: S101 - the evaluator writes no other kind
        notes.append(texts("slices.searched", model=model.label, how=texts.said(found.method)))
        if not slices:
            items.append(texts("slices.nothing", model=model.label))
        for one in slices:
            items.append(
                texts(
                    "slices.one",
                    model=model.label,
                    where=texts.slice(one.slice),
                    error=texts.value(one),
                    interval=texts.interval(one),
                    n=texts.count(one.n),
                    elsewhere=texts.number(one.counts["elsewhere"], one.unit, one.metric),
                )
            )
    if not items and not notes:
        return None
    return Block(title=texts("slices.title"), text=[texts("slices.text")], items=[*items, *notes])
