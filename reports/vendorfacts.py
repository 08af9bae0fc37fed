"""What vendors say of their models, each fact with its source and its age."""

from __future__ import annotations

from datetime import date, datetime

from governance.vendorfacts import Known, VendorFacts
from reports.blocks import Cell, Table
from reports.text import clean
from reports.view import ModelView, View

PRICES = frozenset({"price_read", "price_written", "price_cached", "switch_cost"})


def audited(view: View) -> date | None:
    """The day of the audit; None where the record's own date can't be read."""
    try:
        return datetime.fromisoformat(view.record.created).date()
    except ValueError:
        return None


def stale(view: View, facts: VendorFacts | None) -> dict[str, int]:
    """Facts too old on the day of the audit -> their age in days."""
    day = audited(view)
    return {} if facts is None or day is None else facts.stale(day)


def vendor_tables(view: View) -> list[Table]:
    """One table for each model whose vendor's file was named."""
    return [_table(view, model, facts) for model in view.charted if (facts := model.entry.vendor_facts) is not None]


def missing(view: View) -> list[str]:
    """A line on models outside this process of whose vendor nothing is stated."""
    models = [model.label for model in view.charted if model.entry.remote and model.entry.vendor_facts is None]
    return [view.texts("decision.vendor.missing", models=view.texts("list").join(models))] if models else []


def _table(view: View, model: ModelView, facts: VendorFacts) -> Table:
    texts, ages = view.texts, stale(view, facts)
    rows = []
    for name, fact in facts.facts.known().items():
        age = texts("decision.vendor.stale", n=texts.count(ages[name])) if name in ages else ""
        value = Cell(_value(view, name, fact, facts.currency))
        read = Cell(fact.read_on.isoformat(), small=age)
        rows.append([Cell(texts(f"decision.vendor.{name}")), value, Cell(clean(fact.source, 200)), read])
    head = [Cell(texts(f"decision.vendor.{name}")) for name in ("fact", "value", "source", "read_on")]
    about = {"model": model.label, "vendor": clean(facts.vendor, 120), "date": facts.as_of.isoformat()}
    if facts.product is None:
        return Table(texts("decision.vendor.of", **about), head, rows)
    return Table(texts("decision.vendor.product", product=clean(facts.product, 120), **about), head, rows)


def _value(view: View, name: str, fact: Known[object], currency: str) -> str:
    texts, value = view.texts, fact.value
    if isinstance(value, bool):
        return texts("decision.vendor.yes" if value else "decision.vendor.no")
    if name in PRICES:
        return texts("decision.vendor.money", amount=f"{value:,}", currency=currency)
    if name == "retention_days":
        return texts("decision.vendor.days", n=f"{value:,}")
    if name == "versioning":
        return texts(f"decision.pinned.{value}")
    if isinstance(value, tuple):
        return texts("list").join(clean(one, 60) for one in value)
    return clean(value)
