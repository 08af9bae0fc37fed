"""What a chapter is made of: text, panels with a chart, and the table behind them.

A chapter takes outcomes off the `Shelf`; whatever no chapter took is shown as it is at the end
of the chapter that it belongs to, so no outcome of a record can go missing from its report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Status
from reports.text import Texts, clean, scale_of
from reports.view import ModelView, View


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: a figure and the small print under it."""

    text: str
    small: str = ""
    kind: str = ""  # "number", "missing" or ""
    status: Status | None = None
    tint: int | None = None  # 0 to 100: the shade of a heat map
    model: ModelView | None = None  # shown as its mark and label
    code: bool = False
    link: str = ""  # relative, percent-encoded


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; the first cell of a row is its header."""

    caption: str
    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart with its heading; `svg` comes from `reports.svg.tidy` and nowhere else."""

    title: str
    says: str
    svg: str
    bounded: bool = False  # whether it draws what a policy demands


@dataclass(frozen=True, slots=True)
class Block:
    """A section of a chapter."""

    title: str = ""
    text: Sequence[str] = ()
    items: Sequence[str] = ()
    panels: Sequence[Panel] = ()
    tables: Sequence[Table] = ()
    folded: str = ""  # heading of the fold that hides the tables; empty: they stand open
    key: Sequence[ModelView] = ()  # whose marks the panels show
    code: str = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One aspect of the audit."""

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=tuple)


class Shelf:
    """The record's outcomes, each shown once."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._taken: set[int] = set()

    def take(self, outcomes: Iterable[Outcome | None]) -> None:
        """Mark outcomes as shown."""
        self._taken.update(id(outcome) for outcome in outcomes if outcome is not None)

    def rest(self, wanted: Callable[[str], bool]) -> list[Outcome]:
        """What no chapter has shown of the metrics wanted."""
        return [o for o in self.view.record.outcomes if id(o) not in self._taken and wanted(o.metric)]


def cell(view: View, outcome: Outcome | None, *, size: bool = False, status: Status | None = None) -> Cell:
    """A figure over its interval; a missing one over its reason."""
    texts = view.texts
    if outcome is None:
        return Cell(texts("missing"), kind="missing")
    if isinstance(outcome, NotMeasured):
        return Cell(texts("not_measured"), small=texts.said(outcome.reason), kind="missing")
    value = texts.value(outcome)
    if isinstance(outcome, Fact):
        return Cell(value, small=texts.said(outcome.method) if outcome.unit is Unit.MONEY else "", kind="number")
    small = texts.interval(outcome)
    if outcome.unit is Unit.MONEY:  # the method names the currency
        small = f"{small}{texts('list.long')}{texts.said(outcome.method)}"
    if size:
        small = texts("small.size", interval=small, n=texts.count(outcome.n))
    return Cell(value, small=small, kind="number", status=status)


def metric_cell(texts: Texts, metric: str, *, reference: str | None = None) -> Cell:
    """A row header: the metric's title over what it means."""
    found = texts.metric(metric, reference=reference)
    return Cell(found.title, small=found.says)


def matrix(
    shelf: Shelf,
    metrics: Sequence[str],
    *,
    caption: str,
    where: Slice = EVERYONE,
    reference: str | None = None,
    models: Sequence[ModelView] | None = None,
) -> Table | None:
    """Metrics down, models across; None where no model has any of them."""
    view = shelf.view
    models = view.charted if models is None else models
    rows = []
    for metric in metrics:
        found = [view.find(metric, model.name, where, reference=reference) for model in models]
        if any(found):
            shelf.take(found)
            rows.append([metric_cell(view.texts, metric, reference=reference), *(cell(view, o) for o in found)])
    if not rows:
        return None
    head = [Cell(view.texts("table.metric")), *(Cell(model.label, model=model) for model in models)]
    return Table(caption, head, rows)


def generic(view: View, outcomes: Sequence[Outcome], caption: str) -> Table:
    """Any outcomes, one a row."""
    texts = view.texts
    names = ("metric", "model", "slice", "value", "n", "method")
    rows = []
    for outcome in outcomes:
        reference = getattr(outcome, "reference", None)
        model = view.model(outcome.model) if outcome.model else None
        label = model.label if model else clean(outcome.model or texts("model.none"), 60)
        n = texts.count(outcome.n) if isinstance(outcome, Measurement) else ""
        method = "" if isinstance(outcome, NotMeasured) else texts.said(outcome.method)
        rows.append(
            [
                Cell(texts.metric(outcome.metric, reference=reference).title),
                Cell(label, model=model),
                Cell(texts.slice(outcome.slice)),
                cell(view, outcome),
                Cell(n, kind="number"),
                Cell(method),
            ]
        )
    return Table(caption, [Cell(texts(f"table.{name}")) for name in names], rows)


def scaled(outcome: Measurement) -> tuple[float, float | None, float | None]:
    """Value and ends on the axis: percent and points for shares, as they are for the rest."""
    scale = scale_of(outcome.metric, outcome.unit)
    low, high = (None if end is None else end * scale for end in (outcome.low, outcome.high))
    return outcome.value * scale, low, high


def axis_of(texts: Texts, metric: str, unit: Unit) -> str:
    """The caption of a metric's axis."""
    if scale_of(metric, unit) == 100:
        return texts("axis.points" if unit is Unit.DIFFERENCE else "axis.percent")
    return texts(f"axis.{unit.value}")


def present(tables: Iterable[Table | None]) -> list[Table]:
    """Those that hold anything."""
    return [table for table in tables if table is not None]
