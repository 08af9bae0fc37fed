"""What drives dissatisfaction: topics by how much more negative the rows are that speak of them; and as models read."""

from __future__ import annotations

from collections.abc import Mapping

from governance.measure import Measurement, Outcome, Slice
from reports.blocks import (
    Block,
    Cell,
    Chapter,
    Panel,
    Shelf,
    Table,
    axis_of,
    cell,
    generic,
    matrix,
    metric_cell,
    present,
    scaled,
)
from reports.charts import Point, forest
from reports.text import clean
from reports.view import View

COLUMN = "topic"
PREFIX = "drivers."
DIFFERENCE, PREDICTED, DISTORTION = "drivers.difference", "drivers.predicted_difference", "drivers.distortion"
LARGEST = "drivers.largest_distortion"
LEVELS = ("drivers.share", "drivers.negative_rate", DIFFERENCE)
DRAWN = 3
"""Models that fit into one chart of topics."""


def chapter(shelf: Shelf) -> Chapter | None:
    """The chapter on topics; None where none were looked for."""
    view, texts = shelf.view, shelf.view.texts
    if not shelf.rest(lambda metric: metric.startswith(PREFIX)):
        return None
    topics = _topics(view)
    blocks = [block for block in (_truth(shelf, topics), _stories(shelf, topics)) if block is not None]
    rest = shelf.rest(lambda metric: metric.startswith(PREFIX))
    if rest:
        blocks.append(Block(texts("more"), tables=[generic(view, rest, texts("more"))]))
    return Chapter("drivers", texts("drivers.title"), texts("drivers.lead"), blocks)


def _topics(view: View) -> dict[Slice, str]:
    """Topics and their names for people, the worst drivers first and those without a figure last."""
    found = _by_topic(view, DIFFERENCE, None)

    def order(where: Slice) -> tuple[bool, float]:
        outcome = found[where]
        return (False, -outcome.value) if isinstance(outcome, Measurement) else (True, 0.0)

    return {where: _name(view, where) for where in sorted(found, key=order)}


def _by_topic(view: View, metric: str, model: str | None) -> dict[Slice, Outcome]:
    return {o.slice: o for o in view.all(metric, model) if [column for column, _ in o.slice] == [COLUMN]}


def _name(view: View, where: Slice) -> str:
    """A topic's name in the reader's language, in any, or as the record calls it."""
    topic = dict(where.pairs)[COLUMN]
    said: Mapping[str, str] = view.record.names.get(COLUMN, {}).get(topic, {})
    return clean(said.get(view.texts.language) or next(iter(said.values()), topic), 60)


def _truth(shelf: Shelf, topics: Mapping[Slice, str]) -> Block | None:
    """By the true labels: a chart of differences, and how many rows there are of each topic."""
    view, texts = shelf.view, shelf.view.texts
    if not topics:
        return None
    found = {metric: _by_topic(view, metric, None) for metric in LEVELS}
    for outcomes in found.values():
        shelf.take(outcomes.values())
    points = [
        Point(name, 0, *scaled(outcome))
        for where, name in topics.items()
        if isinstance(outcome := found[DIFFERENCE][where], Measurement)
    ]
    head = [Cell(texts("drivers.topic")), *(metric_cell(texts, metric) for metric in LEVELS)]
    rows = [
        [Cell(name), *(cell(view, found[metric].get(where), size=metric == LEVELS[1]) for metric in LEVELS)]
        for where, name in topics.items()
    ]
    table = Table(texts("drivers.truth.title"), head, rows)
    panel = _panel(view, DIFFERENCE, points, "drivers-truth")
    return Block(
        texts("drivers.truth.title"), [texts("drivers.truth.text")], panels=[panel] if panel else [], tables=[table]
    )


def _stories(shelf: Shelf, topics: Mapping[Slice, str]) -> Block | None:
    """As each model would tell it, and how far that is from the truth."""
    view, texts = shelf.view, shelf.view.texts
    models = [model for model in view.charted if _by_topic(view, DISTORTION, model.name)]
    if not models or not topics:
        return None
    tables: list[Table | None] = []
    for metric in (PREDICTED, DISTORTION):
        found = {model.name: _by_topic(view, metric, model.name) for model in models}
        for outcomes in found.values():
            shelf.take(outcomes.values())
        head = [Cell(texts("drivers.topic")), *(Cell(model.label, model=model) for model in models)]
        rows = [
            [Cell(name), *(cell(view, found[model.name].get(where)) for model in models)]
            for where, name in topics.items()
        ]
        tables.append(Table(texts.metric(metric).title, head, rows))
    tables.append(matrix(shelf, (LARGEST,), caption=texts.metric(LARGEST).title, models=models))
    drawn = sorted(models, key=lambda model: (not model.candidate, not model.incumbent))[:DRAWN]
    points = [
        Point(name, model.mark, *scaled(outcome))
        for where, name in topics.items()
        for model in drawn
        if isinstance(outcome := view.find(DISTORTION, model.name, where), Measurement)
    ]
    panel = _panel(view, DISTORTION, points, "drivers-distortion")
    return Block(
        texts("drivers.stories.title"),
        [texts("drivers.stories.text")],
        panels=[panel] if panel else [],
        tables=present(tables),
        folded=texts("fold.tables"),
        key=drawn if len(drawn) > 1 else (),
    )


def _panel(view: View, metric: str, points: list[Point], name: str) -> Panel | None:
    if not points:
        return None
    title = view.texts.metric(metric)
    units = {outcome.unit for outcome in view.record.outcomes if outcome.metric == metric and hasattr(outcome, "unit")}
    svg = forest(points, name=name, title=title.title, axis=axis_of(view.texts, metric, units.pop()), zero=0.0)
    return Panel(title.title, title.says, svg)
