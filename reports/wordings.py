"""How much hangs on the wording: the figures of each prompt of a model, and how far they are apart."""

from __future__ import annotations

from collections.abc import Sequence

from governance.measure import EVERYONE, Measurement, Outcome, Slice
from reports.blocks import Block, Cell, Panel, Shelf, Table, axis_of, cell, scaled
from reports.charts import Point, forest
from reports.text import clean
from reports.view import ModelView, View

FIGURES = ("coverage", "accuracy", "balanced_accuracy")
SPREAD = "wording.balanced_accuracy.spread"


def wordings(shelf: Shelf) -> list[Block]:
    """One part for all models that were asked by several prompts; none without such models."""
    view, texts = shelf.view, shelf.view.texts
    asked = [model for model in view.charted if _figures(view, model)]
    if not asked:
        return []
    for model in asked:
        shelf.take(_figures(view, model))
    lines = [line for model in asked for line in in_short(view, model)]
    tables = [made for model in asked if (made := table(view, model))]
    panels = [panel for place, model in enumerate(asked) if (panel := _panel(view, model, f"wording-{place}"))]
    return [Block(texts("wording.title"), [texts("wording.text")], lines, panels, tables, texts("fold.table"))]


def in_short(view: View, model: ModelView) -> list[str]:
    """How far one model's prompts are apart, in a sentence; none if it was asked by one."""
    spread = view.find(SPREAD, model.name)
    if not isinstance(spread, Measurement):
        return []
    value, interval = view.texts.value(spread), view.texts.interval(spread)
    return [view.texts("wording.spread", model=model.label, value=value, interval=interval)]


def table(view: View, model: ModelView) -> Table | None:
    """Prompts down, figures across, and the spread below."""
    texts, prompts = view.texts, _prompts(view, model)
    if not prompts:
        return None
    head = [Cell(texts("wording.prompt")), *(Cell(texts.metric(f"wording.{name}").title) for name in FIGURES)]
    rows = [
        [
            Cell(clean(dict(where)["prompt"], 80), code=True),
            *(cell(view, view.find(f"wording.{name}", model.name, where), size=True) for name in FIGURES),
        ]
        for where in prompts
    ]
    last = [Cell(""), Cell(""), cell(view, view.find(SPREAD, model.name, EVERYONE), size=True)]
    rows.append([Cell(texts.metric(SPREAD).title), *last])
    return Table(texts("wording.table", model=model.label), head, rows)


def _figures(view: View, model: ModelView) -> list[Outcome]:
    return [o for o in view.record.outcomes if o.model == model.name and o.metric.startswith("wording.")]


def _prompts(view: View, model: ModelView) -> Sequence[Slice]:
    """The slices of a model's prompts, its own first."""
    return list(dict.fromkeys(o.slice for o in _figures(view, model) if "prompt" in dict(o.slice)))


def _panel(view: View, model: ModelView, name: str) -> Panel | None:
    texts, metric, points, unit = view.texts, "wording.balanced_accuracy", list[Point](), None
    for where in _prompts(view, model):
        found, label = view.find(metric, model.name, where), clean(dict(where)["prompt"], 40)
        if isinstance(found, Measurement):
            points.append(Point(label, model.mark, *scaled(found)))
            unit = found.unit
        else:
            points.append(Point(label, model.mark, None, gone=texts("not_measured")))
    if unit is None:
        return None
    title = texts("wording.table", model=model.label)
    labels = texts("list").join(point.label for point in points)
    svg = forest(
        points,
        name=name,
        title=texts("chart.title", title=title, labels=labels),
        axis=axis_of(texts, metric, unit),
    )
    return Panel(title, texts.metric(metric).says, svg)
