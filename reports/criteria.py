"""What speaks for each model: criteria down, models across, whatever is measured, stated or unknown."""

from __future__ import annotations

from collections.abc import Sequence

from governance.decision.switching import currency_of
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from reports.blocks import Cell, Table, cell
from reports.chapter_privacy import promise
from reports.text import clean
from reports.view import ModelView, View

FIGURES = (
    "quality", "cost", "latency_p50", "latency", "throughput", "leaving", "data", "licence", "support", "pinned",
    "epsilon", "attack", "gap", "robustness", "switch_once", "switch_month",
)  # fmt: skip
EXPLAINED = frozenset({"cost", "throughput", "leaving", "gap", "switch_once", "switch_month", "attack", "epsilon"})


def criteria_table(view: View, models: Sequence[ModelView]) -> Table:
    """Criteria down, models across."""
    texts = view.texts
    rows = [[Cell(texts("protocol.title")), *(protocol_cell(view, model) for model in models)]]
    if any(len(group.profiles) > 1 for group in view.decision.groups):
        rows.append([Cell(texts("decision.front.title")), *(_front_cell(view, model) for model in models)])
    for name in FIGURES:
        title = texts(f"decision.name.{name}")
        says = texts(f"decision.says.{name}") if name in EXPLAINED else ""
        if name == "quality" and view.decision.main is not None:
            title, says = texts.metric(view.decision.main).title, ""
        rows.append([Cell(title, small=says), *(criterion_cell(view, model, name) for model in models)])
    head = [Cell(texts("decision.criteria.criterion")), *(Cell(model.label, model=model) for model in models)]
    return Table(texts("decision.criteria.title"), head, rows)


def protocol_cell(view: View, model: ModelView) -> Cell:
    """How a model answers."""
    return Cell(protocol_name(view, view.profile(model.name).protocol))


def protocol_name(view: View, name: str) -> str:
    """A way of answering, in words."""
    return view.texts(f"protocol.{name}") if view.texts.has(f"protocol.{name}") else clean(name, 40)


def _front_cell(view: View, model: ModelView) -> Cell:
    group = next(one for one in view.decision.groups if model.name in one.front)
    if len(group.profiles) < 2:
        return Cell(view.texts("missing"), kind="missing")
    return Cell(view.texts(f"decision.front.{group.front[model.name].value}"))


def criterion_cell(view: View, model: ModelView, name: str) -> Cell:
    """What is known of a model in one respect."""
    texts, profile = view.texts, view.profile(model.name)
    told = {"data": _data, "licence": _licence, "support": _support, "pinned": _pinned}.get(name)
    if told is not None:
        return told(view, model)
    found, more = _figure(view, name, profile.figures[name]), ""
    if name == "epsilon":
        found, claim = promise(texts, model), model.entry.claim
        more = texts("decision.unit", unit=texts.said(claim.unit)) if claim else ""
    if name == "leaving":
        pieces = sum(n for what, n in model.entry.sent.items() if what != "rows")
        more = texts("decision.scrubbed", n=texts.count(pieces)) if pieces else ""
    if name == "switch_once" and profile.prompts:
        more = texts("decision.prompts", n=texts.count(profile.prompts))
    return Cell(found.text, small=_joined(view, found.small, more), kind=found.kind)


def _figure(view: View, name: str, outcome: Outcome) -> Cell:
    texts = view.texts
    if isinstance(outcome, NotMeasured) and name.startswith("switch"):  # stated or reckoned, never measured
        return Cell(texts("missing"), small=clean(texts.said(outcome.reason)), kind="missing")
    if isinstance(outcome, NotMeasured) or outcome.unit is not Unit.MONEY:
        return cell(view, outcome)
    if name != "cost":
        return _money(view, outcome)
    span = texts.interval(outcome) if isinstance(outcome, Measurement) else ""
    return Cell(texts.value(outcome), small=_joined(view, span, currency_of(outcome) or ""), kind="number")


def _joined(view: View, *parts: str) -> str:
    return view.texts("list.long").join(part for part in parts if part)


def _money(view: View, outcome: Measurement | Fact) -> Cell:
    """An amount, in full digits: what is paid by the month is no price of a request."""
    texts = view.texts
    ends: list[float | None] = [outcome.low, outcome.high] if isinstance(outcome, Measurement) else []
    low, high = ([_amount(view, end) for end in ends] or ["", ""])[:2]
    small = _joined(view, texts("interval.span", low=low, high=high) if ends else "", clean(texts.said(outcome.method)))
    return Cell(_amount(view, outcome.value), small=small, kind="number")


def _amount(view: View, value: float | None) -> str:
    return view.texts("interval.open") if value is None else view.texts.number(value, Unit.COUNT)


def _licence(view: View, model: ModelView) -> Cell:
    facts = model.entry.vendor_facts.facts if model.entry.vendor_facts else None
    stated = model.entry.licence or (facts.licence.value if facts and facts.licence else None)
    limits = view.texts("decision.limits", limits=clean(facts.use_limits.value)) if facts and facts.use_limits else ""
    return Cell(clean(stated or view.texts("unknown"), 120), small=limits, kind="" if stated else "missing")


def _support(view: View, model: ModelView) -> Cell:
    facts = model.entry.vendor_facts.facts if model.entry.vendor_facts else None
    if facts is None or not (facts.sla or facts.deprecation):
        return Cell(view.texts("unknown"), kind="missing")
    end = facts.deprecation
    small = view.texts("decision.notice", deprecation=clean(end.value)) if end else ""
    return Cell(clean(facts.sla.value if facts.sla else view.texts("unknown"), 160), small=small)


def _data(view: View, model: ModelView) -> Cell:
    texts, facts = view.texts, model.entry.vendor_facts.facts if model.entry.vendor_facts else None
    parts = list[str]()
    if facts and facts.trained_on_input:
        parts.append(texts(f"decision.trained.{'yes' if facts.trained_on_input.value else 'no'}"))
    if facts and facts.retention_days:
        parts.append(texts("decision.kept", days=texts.count(facts.retention_days.value)))
    if facts and facts.regions:
        parts.append(texts("list").join(clean(region, 60) for region in facts.regions.value))
    return Cell(_joined(view, *parts) or texts("unknown"), kind="" if parts else "missing")


def _pinned(view: View, model: ModelView) -> Cell:
    texts, pinned, seen = view.texts, view.profile(model.name).pinned, model.entry.versions
    versions = texts("list").join(clean(version, 60) for version in seen)
    small = texts("decision.versions", versions=versions) if versions else ""
    return Cell(texts(f"decision.pinned.{pinned}"), small=small, kind="missing" if pinned == "unknown" else "")
