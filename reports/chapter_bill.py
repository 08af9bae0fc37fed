"""What one thing costs: each model beside its twin, the same but for privacy or scrubbing, or for its size."""

from __future__ import annotations

from collections.abc import Sequence

from governance.measure import EVERYONE, Measurement, NotMeasured, Outcome
from reports.blocks import Block, Cell, Chapter, Panel, Shelf, Table, axis_of, cell, generic, metric_cell, scaled
from reports.charts import Point, forest, short
from reports.text import clean, scale_of
from reports.view import ModelView, View

PRIVACY = ("differential-privacy", "scrubbing")
SMALLER = ("quantised", "distilled")
FIRST = ("twin.balanced_accuracy.difference", "twin.accuracy.difference")
"""What the sentence tells of; the first that was measured."""
DRAWN = (
    "accuracy", "balanced_accuracy", "f1", "auc", "membership_auc", "demographic_parity", "equalized_odds",
)  # fmt: skip
"""Changes that a chart shows; each has a short name."""
_BYTES = ("bytes", "bytes_original")


def chapters(shelf: Shelf) -> list[Chapter]:
    """What privacy costs, and what smaller variants cost; none for a record without twins."""
    found = []
    for name, ways in (("bill", PRIVACY), ("variants", SMALLER)):
        texts, blocks = shelf.view.texts, list[Block]()
        for model in shelf.view.charted:
            if model.entry.twin is not None and model.entry.twin.by in ways:
                blocks += _pair(shelf, model, f"{name}-{len(blocks)}")
        if blocks:
            found.append(Chapter(name, texts(f"{name}.title"), texts(f"{name}.lead"), blocks))
    rest = shelf.rest(lambda metric: metric.startswith("twin."))
    if rest:  # of a model whose entry names no twin: another hand wrote this record
        texts = shelf.view.texts
        table = generic(shelf.view, rest, texts("bill.more"))
        found.append(Chapter("twins", texts("bill.more"), texts("bill.lead"), [Block(tables=[table])]))
    return found


def in_short(view: View, model: ModelView) -> list[str]:
    """The bill of one model in sentences, for its card; none if it has no twin."""
    if model.entry.twin is None or not _figures(view, model):
        return []
    return [_what(view, model), *_sentence(view, model), *_limits(view, model)]


def table(view: View, model: ModelView) -> Table | None:
    """Every figure of one model's bill, for its card."""
    found = _figures(view, model)
    return _table(view, model, found) if found else None


def _figures(view: View, model: ModelView) -> list[Outcome]:
    """How a model differs from its twin, in the record's order."""
    return [o for o in view.record.outcomes if o.model == model.name and o.metric.startswith("twin.")]


def _label(view: View, model: ModelView) -> str:
    """The twin's name for people."""
    name = model.entry.twin.of if model.entry.twin else ""
    found = view.model(name)
    return found.label if found else clean(name, 40)


def _pair(shelf: Shelf, model: ModelView, name: str) -> list[Block]:
    view, found = shelf.view, _figures(shelf.view, model)
    if not found:
        return []
    shelf.take(found)
    title = view.texts("bill.pair", model=model.label, twin=_label(view, model))
    text = [_what(view, model), *_sentence(view, model), *_limits(view, model)]
    panels = _panels(view, model, found, name)
    return [Block(title, text, panels=panels, tables=[_table(view, model, found)], folded=view.texts("fold.table"))]


def _what(view: View, model: ModelView) -> str:
    """What the two differ in."""
    by = model.entry.twin.by if model.entry.twin else ""
    return view.texts(f"bill.by.{by}", model=model.label, twin=_label(view, model))


def _sentence(view: View, model: ModelView) -> list[str]:
    """Quality in one sentence, then time; why there is none where nothing was measured."""
    texts, twin = view.texts, _label(view, model)
    reference = model.entry.twin.of if model.entry.twin else None
    found = [view.find(metric, model.name, EVERYONE, reference=reference) for metric in FIRST]
    told = next((one for one in found if isinstance(one, Measurement)), None)
    if told is None:
        gone = next((one for one in found if isinstance(one, NotMeasured)), None)
        return [texts("bill.said.gone", reason=clean(texts.said(gone.reason), 160))] if gone else []
    side = "open" if told.low is None or told.high is None or told.low <= 0 <= told.high else "lost"
    side = "gained" if side == "lost" and told.value > 0 else side
    filled = {"metric": texts.metric(told.metric.removesuffix(".difference")).title, "twin": twin}
    filled |= {"model": model.label, "value": texts.value(told), "interval": texts.interval(told)}
    lines = [texts(f"bill.said.{side}", **filled)]
    time = view.find("twin.latency_p50.ratio", model.name, EVERYONE, reference=reference)
    if isinstance(time, Measurement):
        lines.append(texts("bill.said.time", twin=twin, value=texts.value(time), interval=texts.interval(time)))
    return lines


def _limits(view: View, model: ModelView) -> list[str]:
    """What the figures don't speak of, and what a smaller model takes of the disk."""
    texts, by = view.texts, model.entry.twin.by if model.entry.twin else ""
    lines = [texts("bill.limits.scrubbing")] if by == "scrubbing" else []
    size, before = (model.entry.settings.get(key) for key in _BYTES)
    if isinstance(size, int) and isinstance(before, int) and before > 0:
        share = f"{size / before * 100:.0f}%"
        lines.append(texts("bill.bytes", size=texts.count(size), before=texts.count(before), share=share))
    return lines


def _table(view: View, model: ModelView, found: Sequence[Outcome]) -> Table:
    texts, twin = view.texts, _label(view, model)
    head = [Cell(texts(f"table.{name}")) for name in ("metric", "slice", "value", "n", "method")]
    rows = []
    for outcome in found:
        measured = isinstance(outcome, Measurement)
        rows.append(
            [
                metric_cell(texts, outcome.metric, reference=twin),
                Cell(texts.slice(outcome.slice)),
                cell(view, outcome),
                Cell(texts.count(outcome.n) if isinstance(outcome, Measurement) else "", kind="number"),
                Cell(texts.said(outcome.method) if measured and not isinstance(outcome, NotMeasured) else ""),
            ]
        )
    return Table(texts("bill.pair", model=model.label, twin=twin), head, rows)


def _panels(view: View, model: ModelView, found: Sequence[Outcome], name: str) -> list[Panel]:
    """Changes in percentage points, and those of scores from 0 to 1: each on an axis of its own."""
    texts, panels = view.texts, list[Panel]()
    drawn_of = {f"twin.{name}.difference" for name in DRAWN}
    changes = [o for o in found if o.metric in drawn_of]
    for scale, key in ((100, "points"), (1, "scores")):
        drawn = [o for o in changes if isinstance(o, Measurement) and scale_of(o.metric, o.unit) == scale]
        if not drawn:
            continue
        points = [Point(_row(view, outcome), model.mark, *scaled(outcome)) for outcome in drawn]
        title = texts(f"bill.panel.{key}", twin=_label(view, model))
        labels = texts("list").join(point.label for point in points)
        svg = forest(
            points,
            name=f"{name}-{key}",
            title=texts("chart.title", title=title, labels=labels),
            axis=axis_of(texts, drawn[0].metric, drawn[0].unit),
            zero=0.0,
        )
        panels.append(Panel(title, texts("bill.panel.text", twin=_label(view, model)), svg))
    return panels


def _row(view: View, outcome: Outcome) -> str:
    """Short enough to stand beside an axis."""
    key = f"bill.short.{outcome.metric.removeprefix('twin.').removesuffix('.difference')}"
    title = view.texts(key) if view.texts.has(key) else view.texts.metric(outcome.metric).title
    columns = view.texts("slice.and").join(short(column, 7) for column, _ in outcome.slice)
    return view.texts("bill.row", metric=title, column=columns) if columns else title
