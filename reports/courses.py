"""What a record's curves say: how far a model can be taken at its word, and what the attack finds at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from governance.curves import Curve
from governance.measure import Unit
from reports.blocks import Block, Cell, Panel, Table
from reports.squares import square
from reports.view import ModelView, View

DRAWN = 7
"""Lines that can be told apart in one chart; the table has the rest."""


def reliability(view: View) -> Block | None:
    """Confidence against the share of answers that are right; None where no model gave scores."""
    return _block(view, "reliability", "reliability")


def membership_roc(view: View) -> Block | None:
    """What the membership attack finds at each false-positive rate; None where it wasn't run."""
    return _block(view, "membership-roc", "roc")


def _block(view: View, kind: Literal["reliability", "membership-roc"], key: str) -> Block | None:
    texts = view.texts
    by_model = {curve.model: curve for curve in view.record.curves if curve.kind == kind}
    found = [(model, by_model[model.name]) for model in view.charted if model.name in by_model]
    if not found:
        return None
    title = texts(f"curve.{key}.title")
    drawn = found[:DRAWN]
    svg = square(
        [(model.mark, curve.points) for model, curve in drawn],
        name=f"course-{key}",
        title=texts("chart.title", title=title, labels=texts("list").join(model.label for model, _ in drawn)),
        x=texts(f"curve.{key}.x"),
        y=texts(f"curve.{key}.y"),
    )
    panel = Panel(title, texts(f"curve.{key}.says"), svg)
    table = _table(view, found, key)
    key_of = [model for model, _ in drawn]
    return Block(title, [texts(f"curve.{key}.text")], panels=[panel], tables=[table], folded=_fold(view), key=key_of)


def _fold(view: View) -> str:
    return view.texts("fold.table")


def _table(view: View, found: Sequence[tuple[ModelView, Curve]], key: str) -> Table:
    """A row for each point of each model."""
    texts = view.texts
    names = ["table.model", f"curve.{key}.x", f"curve.{key}.y", "table.n"]
    rows = []
    for model, curve in found:
        behind = curve.rows or [curve.n] * len(curve.points)
        for (x, y), n in zip(curve.points, behind, strict=True):
            figures = [texts.number(x, Unit.RATE), texts.number(y, Unit.RATE), texts.count(n)]
            rows.append([Cell(model.label, model=model), *(Cell(figure, kind="number") for figure in figures)])
    return Table(texts(f"curve.{key}.title"), [Cell(texts(name)) for name in names], rows)
