"""What a fairer model costs: accuracy against each gap, and in words what got worse, better, or can't be told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from governance.measure import ANY, EVERYONE, Measurement, NotMeasured, Outcome, Slice, reading_order
from reports.blocks import Block, Cell, Panel, Shelf, Table, axis_of, cell, generic, scaled
from reports.charts import Spot, scatter
from reports.text import clean
from reports.view import ModelView, View

GAPS = ("demographic_parity", "equalized_odds")
OVERALL = ("accuracy", "balanced_accuracy")
RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
FIGURES = dict.fromkeys((*OVERALL, *GAPS, *RATES))
"""The order in which they are told."""
BAD_BELOW = frozenset({"accuracy", "balanced_accuracy", "true_positive_rate"})
"""Figures of which less is worse. Of the gaps and of false alarms, more is worse; a selection rate has no bad side."""


@dataclass(frozen=True)
class _Family:
    """A model and those made from it to be fairer by one column."""

    view: View
    base: ModelView
    made: tuple[ModelView, ...]
    column: str

    @property
    def models(self) -> tuple[ModelView, ...]:
        return self.base, *self.made

    def changes(self, model: ModelView) -> list[Outcome]:
        """How a model differs from the base, in the record's order."""
        return [
            outcome
            for outcome in self.view.record.outcomes
            if outcome.model == model.name
            and outcome.metric.startswith("mitigation.")
            and getattr(outcome, "reference", None) == self.base.name
        ]


def frontier(shelf: Shelf) -> list[Block]:
    """One part per model that others stand on and column by which they are fairer; none without such models."""
    blocks = [block for place, family in enumerate(_families(shelf.view)) for block in _family(shelf, family, place)]
    rest = shelf.rest(lambda metric: metric.startswith("mitigation."))
    if rest:
        title = shelf.view.texts("frontier.more")
        blocks.append(Block(title=title, tables=[generic(shelf.view, rest, title)], folded=title))
    return blocks


def _families(view: View) -> list[_Family]:
    found: dict[tuple[str, str], list[ModelView]] = {}
    for model in view.models:
        column = model.entry.settings.get("group")
        if model.entry.of is not None and column is not None:
            found.setdefault((model.entry.of, str(column)), []).append(model)
    return [
        _Family(view, base, tuple(made), column)
        for (name, column), made in found.items()
        if (base := view.model(name)) is not None
    ]


def _family(shelf: Shelf, family: _Family, place: int) -> list[Block]:
    texts = family.view.texts
    if not any(family.changes(model) for model in family.made):
        return []
    panels = [panel for gap in GAPS if (panel := _panel(family, gap, f"frontier-{gap.replace('_', '-')}-{place}"))]
    tables = [_levels(shelf, family), *_by_group(shelf, family)]
    head = Block(
        title=texts("frontier.title", base=family.base.label, column=clean(family.column, 60)),
        text=[texts("frontier.text"), *_needs(family)],
        panels=panels,
        tables=tables,
        folded=texts("fold.tables"),
        key=family.models,
    )
    return [head, *_words(family)]


def _needs(family: _Family) -> list[str]:
    """Which models decide by the group itself, and of how many rows they know no group."""
    texts, base = family.view.texts, family.base.label
    deciding = [model for model in family.made if model.entry.settings.get("method") == "threshold-optimizer"]
    if not deciding:
        return []
    models = texts("list").join(model.label for model in deciding)
    lines = [texts("frontier.decides", models=models, base=base, column=clean(family.column, 60))]
    for model in deciding:
        rows = model.entry.settings.get("rows_without_a_rule")
        if isinstance(rows, int) and rows > 0:
            lines.append(texts("frontier.without", model=model.label, n=texts.count(rows), base=base))
    return lines


def _level(family: _Family, name: str, model: ModelView) -> Outcome | None:
    where = EVERYONE if name == "accuracy" else Slice.of({family.column: ANY})
    return family.view.find(f"mitigation.{name}", model.name, where)


def _panel(family: _Family, gap: str, name: str) -> Panel | None:
    """Accuracy upwards, a gap to the right."""
    view, texts, spots, axes = family.view, family.view.texts, list[Spot](), ("", "")
    for model in family.models:
        x, y = _level(family, gap, model), _level(family, "accuracy", model)
        if isinstance(x, Measurement) and isinstance(y, Measurement):
            spots.append(Spot(model.mark, scaled(x), scaled(y)))
            axes = axis_of(texts, x.metric, x.unit), axis_of(texts, y.metric, y.unit)
    if not spots:
        return None
    metric, accuracy = texts.metric(f"mitigation.{gap}"), texts.metric("mitigation.accuracy").title
    title = texts("frontier.parity" if gap == "demographic_parity" else "frontier.odds")
    labels = texts("list").join(model.label for model in family.models)
    svg = scatter(
        spots,
        name=name,
        title=texts("chart.title", title=title, labels=labels),
        x=texts("frontier.axis", figure=metric.title, unit=axes[0]),
        y=texts("frontier.axis", figure=accuracy, unit=axes[1]),
    )
    missing = [
        view.model(model.name) for model in family.models if not isinstance(_level(family, gap, model), Measurement)
    ]
    gone = [texts("frontier.gone.models", models=texts("list").join(m.label for m in missing if m))] if missing else []
    return Panel(title, " ".join([metric.says, *gone]), svg)


def _levels(shelf: Shelf, family: _Family) -> Table:
    """Models down; levels, then changes, across."""
    view, texts, where = family.view, family.view.texts, Slice.of({family.column: ANY})
    columns = [(f"mitigation.{name}", EVERYONE if name == "accuracy" else where) for name in ("accuracy", *GAPS)]
    changes = [(f"mitigation.{name}.difference", EVERYONE) for name in OVERALL]
    changes += [(f"mitigation.{name}.difference", where) for name in GAPS]
    head = [Cell(texts("table.model"))]
    head += [Cell(texts.metric(metric).title) for metric, _ in columns]
    head += [Cell(texts.metric(metric, reference=family.base.label).title) for metric, _ in changes]
    rows = []
    for model in family.models:
        levels = [view.find(metric, model.name, at) for metric, at in columns]
        against = [view.find(metric, model.name, at, reference=family.base.name) for metric, at in changes]
        shelf.take([*levels, *against])
        row = [Cell(model.label, small=clean(model.entry.title, 120), model=model)]
        row += [cell(view, outcome, size=True) for outcome in levels]
        own = [Cell(texts("compare.self"), kind="missing") for _ in changes]
        rows.append(row + (own if model is family.base else [cell(view, outcome, size=True) for outcome in against]))
    return Table(texts("frontier.levels", column=clean(family.column, 60)), head, rows)


def _by_group(shelf: Shelf, family: _Family) -> Iterator[Table]:
    """Groups down, models across, one table per rate; then the gaps by other columns."""
    view, texts = family.view, family.view.texts
    head = [Cell(clean(family.column, 60)), *(Cell(model.label, model=model) for model in family.made)]
    found = {model.name: family.changes(model) for model in family.made}
    for rate in RATES:
        metric = f"mitigation.{rate}.difference"
        cells = {
            (model, outcome.slice.pairs[0][1]): outcome
            for model, outcomes in found.items()
            for outcome in outcomes
            if outcome.metric == metric and [column for column, _ in outcome.slice] == [family.column]
        }
        shelf.take(cells.values())
        rows = [
            [Cell(value), *(cell(view, cells.get((model.name, value)), size=True) for model in family.made)]
            for value in sorted({value for _, value in cells}, key=reading_order)
        ]
        if rows:
            yield Table(texts.metric(metric, reference=family.base.label).title, head, rows)
    elsewhere = [
        outcome
        for model in family.models
        for outcome in (*family.changes(model), *(o for gap in GAPS for o in view.all(f"mitigation.{gap}", model.name)))
        if outcome.slice.pairs and outcome.slice.pairs[0][0] != family.column
    ]
    if elsewhere:
        shelf.take(elsewhere)
        yield generic(view, elsewhere, texts("frontier.elsewhere"))


# -- in words -----------------------------------------------------------------------------------


def _words(family: _Family) -> list[Block]:
    """What got worse, what got better, who is marked positive more or less often, and what can't be told."""
    texts, base = family.view.texts, family.base.label
    worse, better, moved, unknown = (
        [line for model in family.made if (line := _line(family, model, side))]
        for side in ("worse", "better", "moved", "open")
    )
    levels = {o.level for model in family.made for o in family.changes(model) if isinstance(o, Measurement)}
    level = texts("list").join(f"{level * 100:.4g}%" for level in sorted(levels))
    said = texts("frontier.worse.text", level=level) if worse else texts("frontier.worse.none")
    blocks = [
        Block(texts("frontier.worse.title", base=base), [said], worse),
        Block(texts("frontier.better.title", base=base), [] if better else [texts("frontier.better.none")], better),
    ]
    if moved:
        blocks.append(Block(texts("frontier.moved.title"), [texts("frontier.moved.text")], moved))
    if unknown:
        blocks.append(Block(texts("frontier.open.title"), [texts("frontier.open.text")], unknown))
    return blocks


def _side(outcome: Outcome) -> str:
    """On which side of "no change" a whole interval lies."""
    name = _figure(outcome)
    if not isinstance(outcome, Measurement) or outcome.low is None or outcome.high is None:
        return "open"
    if outcome.low <= 0 <= outcome.high:
        return "open"
    if name == "selection_rate":
        return "moved"
    return "worse" if (outcome.high < 0) == (name in BAD_BELOW) else "better"


def _line(family: _Family, model: ModelView, side: str) -> str:
    """One model's changes on one side, figure by figure with their places; empty if there are none."""
    texts, parts = family.view.texts, list[str]()
    changes: dict[str, list[Outcome]] = {name: [] for name in FIGURES}
    for outcome in sorted(family.changes(model), key=_place_order):
        changes.setdefault(_figure(outcome), []).append(outcome)
    for name, outcomes in changes.items():
        found = [outcome for outcome in outcomes if _side(outcome) == side]
        groups = [outcome for outcome in outcomes if _group(family, outcome) is not None]
        if side == "open" and len(groups) > 2 and all(isinstance(o, Measurement) and o in found for o in groups):
            places = [_place(family, outcome, told=False) for outcome in found if outcome not in groups]
            places.append(texts("frontier.every"))
        else:
            places = [_place(family, outcome, told=side != "open") for outcome in found]
        if places:
            title = texts.metric(f"mitigation.{name}").title
            parts.append(texts("frontier.part", metric=title, places=texts("list").join(places)))
    return texts("frontier.line", model=model.label, parts=texts("list.long").join(parts)) if parts else ""


def _figure(outcome: Outcome) -> str:
    return outcome.metric.removeprefix("mitigation.").removesuffix(".difference")


def _group(family: _Family, outcome: Outcome) -> str | None:
    """The group of the family's column that an outcome speaks of, if it speaks of one."""
    found = dict(outcome.slice).get(family.column, ANY)
    return None if found == ANY else found


def _place_order(outcome: Outcome) -> tuple[bool, bool, float, bool, str]:
    """All rows first, then groups as people read them."""
    value = outcome.slice.pairs[0][1] if outcome.slice.pairs else ""
    return (outcome.slice != EVERYONE, *reading_order(value))


def _place(family: _Family, outcome: Outcome, *, told: bool) -> str:
    """Where a figure was measured, and, if it is told, what it is; why there is none."""
    texts = family.view.texts
    columns = texts("slice.and").join(clean(column, 60) for column, _ in outcome.slice)
    group = _group(family, outcome)
    where = columns or texts("slice.everyone") if group is None else clean(group, 60)
    if isinstance(outcome, NotMeasured):
        return texts("frontier.gone.place", place=where, reason=clean(texts.said(outcome.reason), 160))
    if not told or not isinstance(outcome, Measurement):
        return where
    return texts("frontier.place", place=where, value=texts.value(outcome), interval=texts.interval(outcome))
