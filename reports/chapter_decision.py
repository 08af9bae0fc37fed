"""Open or closed? What speaks for each model, who is beaten on everything, and how the choice moves with the weights.

All figures are `governance.decision`'s; here they are put into words, tables and charts.
"""

from __future__ import annotations

from collections.abc import Sequence

from governance.decision import Group, Told, Weighing
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from reports.blocks import Block, Cell, Chapter, Panel, Table, axis_of, cell, scaled
from reports.charts import Spot, scatter, stacked
from reports.criteria import criteria_table, protocol_cell, protocol_name
from reports.text import clean
from reports.vendorfacts import missing, stale, vendor_tables
from reports.view import ModelView, View

NOT_ASKED = frozenset({"table", "imported"})
"""Kinds of models whose answers this audit only read: there is nothing to choose between."""


def shown(view: View) -> bool:
    """Whether there is a choice to show: two models that were asked, or facts about a vendor."""
    entries = [model.entry for model in view.models if model.entry.kind not in NOT_ASKED]
    return len(entries) > 1 or any(entry.vendor_facts for entry in entries)


def chapter(view: View) -> Chapter | None:
    """The chapter; None where the record holds no choice."""
    if not shown(view):
        return None
    texts = view.texts
    groups = view.decision.groups
    blocks = [
        *(_group(view, group, place) for place, group in enumerate(groups)),
        Block(
            title=texts("decision.criteria.title"),
            text=[texts("decision.criteria.text")],
            tables=[criteria_table(view, view.charted)],
        ),
        *_across(view),
        *_vendors(view),
        *([_method(view)] if any(group.weighing for group in groups) else []),
    ]
    return Chapter("decision", texts("decision.title"), texts("decision.lead"), blocks)


# -- in words -------------------------------------------------------------------------------------


def _label(view: View, name: str) -> str:
    model = view.model(name)
    return model.label if model else clean(name, 40)


def _labels(view: View, names: Sequence[str]) -> str:
    return view.texts("list").join(_label(view, name) for name in names)


def _short(view: View, criteria: Sequence[str]) -> str:
    return view.texts("list").join(view.texts(f"decision.short.{key}") for key in criteria)


def sentences(view: View, group: Group) -> list[str]:
    """What can be said of the models of one group."""
    texts = view.texts
    if len(group.profiles) < 2:
        protocol = protocol_name(view, group.protocol)
        return [texts("decision.alone", model=_label(view, group.profiles[0].model), protocol=protocol)]
    by_told = {told: [name for name, one in group.front.items() if one is told] for told in Told}
    lines = []
    if by_told[Told.YES]:
        lines.append(texts("decision.unbeaten", models=_labels(view, by_told[Told.YES])))
    for told, key in ((Told.NO, "decision.beaten"), (Told.OPEN, "decision.doubtful")):
        for name in by_told[told]:
            others = [other for other, one in group.beaten[name].items() if told is Told.OPEN or one is Told.YES]
            lines.append(texts(key, model=_label(view, name), others=_labels(view, others)))
    if group.weighing is None:
        return [*lines, texts("decision.none")]
    criteria = _short(view, group.weighing.criteria)
    for name, first in sorted(group.weighing.first.items(), key=lambda item: -item[1].value)[:1]:
        share = texts.number(first.value, Unit.RATE)
        lines.append(texts("decision.most", model=_label(view, name), criteria=criteria, share=share))
    return [*lines, *_left_out(view, group.weighing)]


def _left_out(view: View, weighing: Weighing) -> list[str]:
    texts = view.texts
    lines = [
        texts("decision.unknown", criterion=texts(f"decision.short.{key}"), models=_labels(view, absent))
        for key, absent in weighing.unknown.items()
    ]
    return [*lines, texts("decision.alike", criteria=_short(view, weighing.alike))] if weighing.alike else lines


# -- models that answer alike ---------------------------------------------------------------------


def _group(view: View, group: Group, place: int) -> Block:
    """What can be said of one group, its charts, and the tables behind them."""
    texts, weighing = view.texts, group.weighing
    models = [model for model in view.charted if model.name in group.front]
    panels = [panel for panel in (_cost_panel(view, group, models, place), _weights_panel(view, group, place)) if panel]
    return Block(
        title=texts("decision.protocol", protocol=protocol_name(view, group.protocol)),
        items=sentences(view, group),
        panels=panels if len(models) > 1 else [],
        tables=[first_table(view, weighing, models), _scenarios(view, weighing, models)] if weighing else [],
        folded=texts("fold.tables"),
        key=models,
    )


def _method(view: View) -> Block:
    texts = view.texts
    return Block(title=texts("decision.how.title"), text=[texts("decision.how.text"), texts("decision.how.source")])


def _cost_panel(view: View, group: Group, models: Sequence[ModelView], place: int) -> Panel | None:
    """Cost to the right, quality upwards."""
    texts, spots, axis = view.texts, list[Spot](), ""
    for model in models:
        found = next(one for one in group.profiles if one.model == model.name)
        x, y = found.figures["cost"], found.figures["quality"]
        if isinstance(x, NotMeasured) or isinstance(y, NotMeasured) or found.spreads["cost"] is None:
            continue
        spots.append(Spot(model.mark, _ends(x), _ends(y)))
        axis = axis_of(texts, y.metric, y.unit)
    if len(spots) < 2 or view.decision.main is None:
        return None
    title = texts("decision.chart.cost")
    svg = scatter(
        spots,
        name=f"decision-cost-{place}",
        title=texts("chart.title", title=title, labels=texts("list").join(model.label for model in models)),
        x=texts("decision.name.cost"),
        y=texts("frontier.axis", figure=texts.metric(view.decision.main).title, unit=axis),
    )
    return Panel(title, texts("decision.chart.cost_says"), svg)


def _ends(outcome: Measurement | Fact) -> tuple[float, float | None, float | None]:
    return scaled(outcome) if isinstance(outcome, Measurement) else (outcome.value, outcome.value, outcome.value)


def _weights_panel(view: View, group: Group, place: int) -> Panel | None:
    """First places, a bar per weighting."""
    texts, weighing = view.texts, group.weighing
    if weighing is None:
        return None
    firsts = {"all": weighing.first, **{one.name: one.first for one in weighing.scenarios}}
    bars = [
        (
            texts(f"decision.scenarios.{name}"),
            [(model.mark, first[model.name].value) for model in view.charted if model.name in first],
        )
        for name, first in firsts.items()
    ]
    title = texts("decision.chart.weights")
    labels = texts("list").join(label for label, _ in bars)
    svg = stacked(
        bars,
        name=f"decision-weights-{place}",
        title=texts("chart.title", title=title, labels=labels),
        axis=texts("decision.chart.share"),
    )
    return Panel(title, texts("decision.chart.weights_says"), svg)


def first_table(view: View, weighing: Weighing, models: Sequence[ModelView]) -> Table:
    """How often each model comes first, and by which weights."""
    texts = view.texts
    head = [Cell(texts("table.model")), Cell(texts("decision.first.share"))]
    shorts = [texts(f"decision.short.{key}") for key in weighing.criteria]
    head += [Cell(texts("decision.first.typical", criterion=short)) for short in shorts]
    rows = []
    for model in models:
        weights = weighing.central.get(model.name)
        typical = (
            [Cell(texts("decision.first.never"), kind="missing") for _ in shorts]
            if weights is None
            else [Cell(texts.number(weights[key], Unit.RATE), kind="number") for key in weighing.criteria]
        )
        rows.append([Cell(model.label, model=model), cell(view, weighing.first[model.name]), *typical])
    return Table(texts("decision.first.title"), head, rows)


def _scenarios(view: View, weighing: Weighing, models: Sequence[ModelView]) -> Table:
    texts = view.texts
    head = [Cell(texts("decision.scenarios.name")), Cell(texts("decision.scenarios.weights"))]
    head += [Cell(model.label, model=model) for model in models]
    rows = [
        [
            Cell(texts(f"decision.scenarios.{one.name}")),
            Cell(
                texts("list").join(
                    f"{texts(f'decision.short.{key}')} {texts.number(weight, Unit.RATE)}"
                    for key, weight in one.weights.items()
                )
            ),
            *(cell(view, one.first[model.name]) for model in models),
        ]
        for one in weighing.scenarios
    ]
    return Table(texts("decision.scenarios.title"), head, rows)


# -- between groups, and vendors ------------------------------------------------------------------


def _across(view: View) -> list[Block]:
    """Paired differences between models that answer in different ways."""
    texts, decision = view.texts, view.decision
    if len(decision.groups) < 2 or decision.main is None:
        return []
    title = texts("decision.across.title")
    if not decision.across:
        return [Block(title=title, text=[texts("decision.across.none")])]
    rows = [[_pair(view, one), cell(view, one, size=True)] for one in decision.across]
    head = [Cell(texts("table.model")), Cell(texts("decision.across.difference"))]
    text = texts("decision.across.text", metric=texts.metric(decision.main).title)
    return [Block(title=title, text=[text], tables=[Table(title, head, rows)])]


def _pair(view: View, outcome: Outcome) -> Cell:
    model, reference = _label(view, outcome.model or ""), _label(view, getattr(outcome, "reference", None) or "")
    protocols = [view.model(name) for name in (outcome.model, getattr(outcome, "reference", None)) if name]
    small = " / ".join(protocol_cell(view, one).text for one in protocols if one)
    return Cell(view.texts("decision.across.pair", model=model, reference=reference), small=small)


def _vendors(view: View) -> list[Block]:
    texts, tables, unknown = view.texts, vendor_tables(view), missing(view)
    if not tables and not unknown:
        return []
    text = [texts("decision.vendor.text")] if tables else []
    return [Block(title=texts("decision.vendor.title"), text=[*text, *unknown], tables=tables)]


# -- in a model's card ----------------------------------------------------------------------------


def in_short(view: View, model: ModelView) -> list[str]:
    """The choice for one model, in a few lines; none where there is no choice."""
    if not shown(view):
        return []
    texts, group = view.texts, next(one for one in view.decision.groups if model.name in one.front)
    lines = [texts("decision.card.alone")]
    if len(group.profiles) > 1:
        lines = [texts(f"decision.card.front.{group.front[model.name].value}")]
    if group.weighing is not None:
        share = texts.number(group.weighing.first[model.name].value, Unit.RATE)
        lines.append(texts("decision.card.first", criteria=_short(view, group.weighing.criteria), share=share))
    leaving = view.profile(model.name).figures["leaving"]
    if isinstance(leaving, Fact):
        lines.append(texts("decision.card.leaves", rows=texts.value(leaving)))
    old = stale(view, model.entry.vendor_facts)
    if old:
        named = texts("list").join(texts(f"decision.vendor.{name}") for name in old)
        lines.append(texts("decision.card.stale", facts=named))
    return lines
