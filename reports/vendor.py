"""A vendor's training in a report: what left for it, what it cost, and that nothing is promised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from governance.measure import Unit
from governance.record import SentRows, VendorTraining
from reports.blocks import Cell, Table
from reports.text import Texts, clean
from reports.view import ModelView


def statement(texts: Texts, model: ModelView, training: VendorTraining) -> str:
    """What is promised about the rows that a vendor was given: nothing, and why."""
    n = training.training.rows + (training.validation.rows if training.validation else 0)
    return texts("privacy.unclaimed.vendor", model=model.label, host=clean(training.host, 120), n=texts.count(n))


def departures(texts: Texts, models: Sequence[ModelView]) -> Table | None:
    """The files that left for training, a row each."""
    rows = [row for model in models if model.entry.vendor for row in _files(texts, model, model.entry.vendor)]
    keys = ("table.model", "table.endpoint", "table.sent", "table.file", "table.after")
    return Table(texts("privacy.vendor.title"), [Cell(texts(key)) for key in keys], rows) if rows else None


def bill(texts: Texts, model: ModelView, training: VendorTraining) -> str:
    """Which model came of it, from which base, and what was reckoned and charged."""
    price = training.price
    currency = clean(price.currency, 10)
    charged = texts("unknown") if price.charged is None else _money(texts, price.charged, currency)
    tokens = texts("unknown") if training.trained_tokens is None else texts.count(training.trained_tokens)
    return texts(
        "privacy.vendor.bill",
        model=model.label,
        tuned=clean(training.model, 120),
        base=clean(training.base_reported, 120),
        job=clean(training.job, 80),
        tokens=tokens,
        estimate=_money(texts, price.estimate, currency),
        charged=charged,
        budget=_money(texts, price.budget, currency),
    )


def _files(texts: Texts, model: ModelView, training: VendorTraining) -> list[list[Cell]]:
    files = {"training": training.training, "validation": training.validation}
    return [
        [
            Cell(model.label, model=model),
            Cell(clean(training.host, 120), small=texts.date(training.started)),
            _left(texts, name, sent),
            Cell(clean(sent.file or texts("unknown"), 80), small=clean(sent.digest, 100), code=True),
            Cell(_after(texts, training, name)),
        ]
        for name, sent in files.items()
        if sent is not None
    ]


def _left(texts: Texts, name: str, sent: SentRows) -> Cell:
    rows, characters = texts.count(sent.rows), texts.count(sent.characters)
    key = "privacy.vendor.training" if name == "training" else "privacy.vendor.validation"
    notes = []
    if sent.scrubbed:
        notes.append(texts("privacy.scrubbed", kinds=_counts(texts, sent.scrubbed)))
    if sent.left_out:
        notes.append(texts("privacy.vendor.left_out", reasons=_counts(texts, sent.left_out)))
    return Cell(texts(key, n=rows, characters=characters), small=texts("list.long").join(notes))


def _after(texts: Texts, training: VendorTraining, name: str) -> str:
    """What became of a file once the job had ended."""
    deletion = training.deletion
    if deletion is None:
        return texts("privacy.vendor.kept")
    answer = clean(texts.said(deletion.answers.get(name, "not deleted")), 200)
    return texts("privacy.vendor.deletion", date=texts.date(deletion.asked), answer=answer)


def _counts(texts: Texts, counts: Mapping[str, int]) -> str:
    return texts("list").join(f"{clean(texts.said(name), 60)} {texts.count(n)}" for name, n in counts.items())


def _money(texts: Texts, amount: float, currency: str) -> str:
    return f"{texts.number(amount, Unit.MONEY)}\u00a0{currency}"
