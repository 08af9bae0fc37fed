"""How training went: loss by step, where it may be shown, and what a private training had spent by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.blocks import Block, Cell, Panel, Table
from reports.charts import curve
from reports.text import clean
from reports.view import ModelView, View

DRAWN = 12
"""Models whose curves are drawn; the table has the rest."""
ROWS = 20
"""Points of one model in the table, evenly spaced: charts have all of them."""
AXES = ("epoch", "step")


def blocks(view: View) -> list[Block]:
    """The curves and their table; none for a record without any."""
    texts = view.texts
    shown = [(model, points) for model in view.charted if (points := _points(model))]
    panels = [panel for model, points in shown[:DRAWN] for panel in _panels(view, model, points)]
    private = [model for model in view.charted if model.entry.curve and model.entry.claim]
    said = {True: "data.curve.private", False: "data.curve.hidden"}
    told = {m.name: any({"step", "loss"} <= point.keys() for point in m.entry.curve) for m in private}
    hidden = [texts(said[told[m.name]], model=m.label) for m in private]
    if not shown and not hidden:
        return []
    title, text = texts("data.curve.title"), texts("data.curve.text")
    tables = [_table(view, title, shown)] if shown else []
    return [Block(title, [text], hidden, panels, tables, texts("fold.table"))]


def _points(model: ModelView) -> list[Mapping[str, float]]:
    """A private loss is there because a config asked for it; older records, which count epochs, had no such setting."""
    return [point for point in model.entry.curve if model.entry.claim is None or "step" in point]


def _axis(points: Sequence[Mapping[str, float]]) -> str:
    return "step" if all("step" in point for point in points) else "epoch"


def _figures(points: Sequence[Mapping[str, float]]) -> list[str]:
    return sorted({key for point in points for key in point} - set(AXES))


def _panels(view: View, model: ModelView, points: Sequence[Mapping[str, float]]) -> list[Panel]:
    panels = []
    for place, key in enumerate(_figures(points)):
        found = [(turn, point) for turn, point in enumerate(points) if key in point]
        axis = _axis([point for _, point in found])
        line = [(point.get(axis, turn + 1.0), point[key]) for turn, point in found]
        title = view.texts("data.curve.panel", model=model.label, figure=clean(view.texts.said(key), 40))
        name = f"curve-{model.slug}-{place}"
        svg = curve(line, mark=model.mark, name=name, title=title, axis=view.texts(f"axis.{axis}"))
        panels.append(Panel(title, "", svg))
    return panels


def _table(view: View, title: str, shown: Sequence[tuple[ModelView, list[Mapping[str, float]]]]) -> Table:
    texts, rows = view.texts, []
    figures = sorted({key for _, points in shown for key in _figures(points)})
    for model, points in shown:
        axis = _axis(points)
        numbered = [(point.get(axis, turn + 1.0), point) for turn, point in enumerate(points)]
        every = -(-len(numbered) // ROWS)
        for where, point in [*numbered[::every], *(numbered[-1:] if (len(numbered) - 1) % every else [])]:
            at = Cell(f"{texts(f'axis.{axis}')} {where:g}")
            told = (f"{point[key]:.4g}" if key in point else texts("missing") for key in figures)
            rows.append([Cell(model.label, model=model), at, *(Cell(figure, kind="number") for figure in told)])
    head = [Cell(texts("table.model")), Cell(texts("data.curve.when"))]
    return Table(title, [*head, *(Cell(clean(texts.said(key), 40)) for key in figures)], rows)
