"""How good: intervals of model against model, paired differences, time and cost."""

from __future__ import annotations

from collections.abc import Sequence

from governance.comparison import COMPARISONS, DETECTABLE, HOLM, P
from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome, Unit
from reports.blocks import (
    Block,
    Cell,
    Chapter,
    Panel,
    Shelf,
    Table,
    axis_of,
    generic,
    matrix,
    metric_cell,
    present,
    scaled,
)
from reports.charts import Point, forest
from reports.courses import reliability
from reports.text import Texts, scale_of
from reports.view import ModelView, View
from reports.wordings import wordings

LEVELS = ("balanced_accuracy", "auc", "accuracy", "recall", "precision", "f1")
COSTS = ("latency_p50", "latency_p95", "cost")
MOST_LEVELS = 8
"""Figures of a task of words or rankings that are drawn; the table has the rest."""
DRAWN = 12
"""Models that a chart of all models holds; the table has the rest."""


def chapter(shelf: Shelf) -> Chapter | None:
    """The chapter on quality; None for a record of imported figures alone, which have a chapter of their own."""
    view, texts = shelf.view, shelf.view.texts
    if view.record.outcomes and all(outcome.metric.startswith("imported.") for outcome in view.record.outcomes):
        return None
    blocks = [_levels(shelf), *_differences(shelf)]
    if (course := reliability(view)) is not None:
        blocks.append(course)
    costs = matrix(shelf, [f"quality.{name}" for name in COSTS], caption=texts("quality.costs.title"))
    if costs:
        blocks.append(Block(title=texts("quality.costs.title"), text=[texts("quality.costs.text")], tables=[costs]))
    blocks += wordings(shelf)
    rest = shelf.rest(lambda metric: metric.startswith(("quality.", "wording.")))
    if rest:
        blocks.append(
            Block(
                tables=[generic(view, rest, texts("more.quality"))], folded=texts("more.quality"), title=texts("more")
            )
        )
    return Chapter("quality", texts("quality.title"), texts("quality.lead"), blocks)


def _names(view: View) -> list[str]:
    """What tells how good models are: of classifiers the usual figures, of other tasks their own, in their order."""
    if any(view.unit_of(f"quality.{name}") for name in LEVELS):
        return [f"quality.{name}" for name in LEVELS]
    told = dict.fromkeys(
        outcome.metric
        for outcome in view.record.outcomes
        if outcome.metric.startswith("quality.") and outcome.metric.count(".") == 1
        if isinstance(outcome, Measurement) and outcome.unit in (Unit.RATE, Unit.SCORE)
    )
    return [name for name in told if name != "quality.coverage"]


def _levels(shelf: Shelf) -> Block:
    view, texts = shelf.view, shelf.view.texts
    told = _names(view)
    panels = [panel for name in told[:MOST_LEVELS] if (panel := across_models(view, name))]
    table = matrix(shelf, ["quality.coverage", *told, "quality.accuracy_all"], caption=texts("quality.levels.title"))
    return Block(
        title=texts("quality.levels.title"),
        text=[texts("quality.levels.text")],
        panels=panels,
        tables=present([table]),
        folded=texts("fold.table"),
        key=view.charted[:DRAWN],
    )


def _differences(shelf: Shelf) -> list[Block]:
    view, texts = shelf.view, shelf.view.texts
    references = dict.fromkeys(
        o.reference
        for o in view.record.outcomes
        if isinstance(o, Measurement) and o.reference and o.metric.startswith("quality.")
    )
    blocks = []
    for number, reference in enumerate(references):
        of_classes = [f"quality.{name}.difference" for name in ("balanced_accuracy", "auc", "accuracy")]
        of_classes = [name for name in of_classes if view.unit_of(name)]
        names = of_classes or [f"{name}.difference" for name in _names(view) if view.unit_of(f"{name}.difference")]
        panels = [
            panel
            for name in names[:MOST_LEVELS]
            if (panel := across_models(view, name, reference=reference, zero=0.0, suffix=f"-{number}"))
        ]
        others = [model for model in view.charted if model.name != reference]
        title = texts("quality.paired.title", reference=_label(view, reference))
        table = matrix(shelf, names, caption=title, reference=reference, models=others)
        if panels or table:
            text = [texts("quality.paired.text", reference=_label(view, reference))]
            evidence = _evidence(view, names, reference, others)
            text += [texts("quality.evidence.text", reference=_label(view, reference))] if evidence else []
            tables = present([table, evidence])
            blocks.append(Block(title, text, (), panels, tables, texts("fold.table"), others[:DRAWN]))
    return blocks


def _evidence(view: View, metrics: Sequence[str], reference: str, models: Sequence[ModelView]) -> Table | None:
    """How surprising each difference is, and what the rows could have shown; None for older records, without either."""
    texts, rows = view.texts, []
    for metric in metrics:
        found = [view.find(metric, model.name, EVERYONE, reference=reference) for model in models]
        if any(isinstance(one, Measurement) and P in one.counts for one in found):
            cells = (_surprise(texts, one) for one in found)
            rows.append([metric_cell(texts, metric, reference=reference), *cells])
    head = [Cell(texts("table.metric")), *(Cell(model.label, model=model) for model in models)]
    return Table(texts("quality.evidence.title"), head, rows) if rows else None


def _surprise(texts: Texts, one: Outcome | None) -> Cell:
    """A difference's p, over the adjusted one and the smallest difference in reach."""
    if not isinstance(one, Measurement) or P not in one.counts:
        return Cell(texts("missing"), kind="missing")
    p, adjusted, least = one.counts[P], one.counts.get(HOLM), one.counts.get(DETECTABLE)
    small = []
    if adjusted is not None:
        n = texts.count(int(one.counts[COMPARISONS]))
        small.append(texts("quality.evidence.adjusted", n=n, p=texts.number(adjusted, Unit.PROBABILITY)))
    if least is not None:
        small.append(texts("quality.evidence.least", least=texts.number(least, one.unit, one.metric)))
    shown = texts("quality.evidence.p", p=texts.number(p, Unit.PROBABILITY))
    return Cell(shown, small=texts("list.long").join(small), kind="number")


def _label(view: View, name: str) -> str:
    model = view.model(name)
    return model.label if model else name[:40]


def bounds_on(view: View, metric: str, *, reference: str | None, scale: float) -> Sequence[float]:
    """What the policy demands of a metric for everyone, on the axis."""
    found = [
        view.policy.bound(control) for control in view.controls_on(metric, reference=reference) if control.slice is None
    ]
    return [bound * scale for bound in dict.fromkeys(found)]


def across_models(
    view: View, metric: str, *, reference: str | None = None, zero: float | None = None, suffix: str = ""
) -> Panel | None:
    """One chart of one metric over the models; None where no model has it."""
    points, units = [], []
    for model in view.charted[:DRAWN]:
        outcome = view.find(metric, model.name, EVERYONE, reference=reference)
        if isinstance(outcome, Measurement):
            points.append(Point(model.label, model.mark, *scaled(outcome)))
            units.append(outcome.unit)
        elif isinstance(outcome, NotMeasured):
            points.append(Point(model.label, model.mark, None, gone=view.texts("not_measured")))
    if not units:
        return None
    title = view.texts.metric(metric, reference=reference)
    bounds = bounds_on(view, metric, reference=reference, scale=scale_of(metric, units[0]))
    svg = forest(
        points,
        name=metric.replace(".", "-").replace("_", "-") + suffix,
        title=view.texts("chart.title", title=title.title, labels=view.texts("list").join(p.label for p in points)),
        axis=axis_of(view.texts, metric, units[0]),
        bounds=bounds,
        zero=zero,
    )
    return Panel(title.title, title.says, svg, bool(bounds))
