"""What private training promised against what was measured, and what it spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.measure import Fact, Measurement, NotMeasured, Unit
from reports.blocks import Block, Cell, Panel, Shelf, Table, cell, scaled
from reports.charts import Point, Spot, forest, scatter
from reports.view import ModelView, View

AUC, TPR = "membership.auc", "membership.tpr_at_1pct_fpr"


def block(shelf: Shelf) -> Block | None:
    """The charts and their tables; None where no model was trained privately."""
    view, texts = shelf.view, shelf.view.texts
    private = [model for model in view.charted if model.entry.claim is not None]
    if not private:
        return None
    panels = [_spent(view, private)]
    measured = {model.name: bound for model in private if (bound := _bound(view, model)) is not None}
    shelf.take(measured.values())
    if measured:
        panels.insert(0, _against(view, private, measured))
    if (beside := _beside(view, private)) is not None:
        panels.append(beside)
    title = texts("promise.title")
    says = [texts("promise.text"), texts("promise.bound" if measured else "promise.unbound")]
    return Block(title, says, panels=panels, tables=[_table(view, private, measured)], key=private)


def _bound(view: View, model: ModelView) -> Measurement | Fact | None:
    """What an attack by canaries proved that epsilon can't be below."""
    for outcome in view.record.outcomes:
        named = outcome.model == model.name and outcome.metric.startswith("canary.")
        if named and not isinstance(outcome, NotMeasured) and outcome.unit is Unit.NATS:
            return outcome
    return None


def _beside(view: View, models: Sequence[ModelView]) -> Panel | None:
    """What is promised to the right, how well the membership attack ranks upwards; None for a single model."""
    texts, spots = view.texts, list[Spot]()
    for model in models:
        claim, found = model.entry.claim, view.find(AUC, model.name)
        if claim is not None and isinstance(found, Measurement):
            spots.append(Spot(model.mark, (claim.epsilon, claim.epsilon, claim.epsilon), scaled(found)))
    if len(spots) < 2:
        return None
    title, axis = texts("promise.beside"), texts.metric(AUC).title
    svg = scatter(spots, name="promise-beside", title=title, x=texts("axis.nats"), y=axis)
    return Panel(title, texts("promise.beside_says"), svg)


def _spent(view: View, models: Sequence[ModelView]) -> Panel:
    """Epsilon of each run and of all runs on the same rows; the target as a dashed line."""
    texts, points = view.texts, list[Point]()
    for model in models:
        claim = model.entry.claim
        assert claim is not None  # noqa: S101 - narrows the type
        points.append(_exact(model.label, model, claim.epsilon, target=claim.target_epsilon))
        if claim.ledger_epsilon is not None:
            label = texts("promise.all", model=model.label)
            points.append(_exact(label, model, claim.ledger_epsilon, target=claim.target_epsilon))
    title = texts("promise.spent")
    svg = forest(points, name="promise-spent", title=title, axis=texts("axis.nats"), zero=0.0)
    return Panel(title, texts("promise.spent_says"), svg)


def _against(view: View, models: Sequence[ModelView], measured: Mapping[str, Measurement | Fact]) -> Panel:
    """Each claim over the attack's lower bound: a bound to the right of its claim refutes it."""
    texts, points = view.texts, list[Point]()
    for model in models:
        claim, bound = model.entry.claim, measured.get(model.name)
        assert claim is not None  # noqa: S101 - narrows the type
        points.append(_exact(texts("promise.claimed", model=model.label), model, claim.epsilon))
        if bound is not None:
            points.append(_exact(texts("promise.measured", model=model.label), model, bound.value))
    title = texts("promise.against")
    svg = forest(points, name="promise-against", title=title, axis=texts("axis.nats"), zero=0.0)
    return Panel(title, texts("promise.against_says"), svg)


def _exact(label: str, model: ModelView, value: float, target: float | None = None) -> Point:
    return Point(label, model.mark, value, value, value, bound=target)


def _table(view: View, models: Sequence[ModelView], measured: Mapping[str, Measurement | Fact]) -> Table:
    """Promise, target, spending and evidence, a model a row."""
    texts, rows = view.texts, []
    for model in models:
        claim = model.entry.claim
        assert claim is not None  # noqa: S101 - narrows the type
        ledger = Cell(texts("missing"), kind="missing")
        if claim.ledger_epsilon is not None and claim.ledger_runs is not None:
            epsilon, runs = texts.number(claim.ledger_epsilon, Unit.NATS), texts.count(claim.ledger_runs)
            ledger = Cell(epsilon, small=texts("promise.runs", n=runs), kind="number")
        rows.append(
            [
                Cell(model.label, model=model),
                Cell(
                    texts.number(claim.epsilon, Unit.NATS),
                    small=f"δ = {texts.number(claim.delta, Unit.PROBABILITY)}",
                    kind="number",
                ),
                Cell(texts.number(claim.target_epsilon, Unit.NATS), kind="number"),
                ledger,
                cell(view, measured.get(model.name)),
                cell(view, view.find(AUC, model.name)),
                cell(view, view.find(TPR, model.name)),
            ]
        )
    names = ("table.model", "promise.claim", "promise.target", "promise.ledger", "promise.least")
    head = [Cell(texts(name)) for name in names]
    head += [Cell(texts.metric(name).title) for name in (AUC, TPR)]
    return Table(texts("promise.title"), head, rows)
