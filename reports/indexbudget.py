"""The privacy budget as records and the audit trail tell of it: per data set, what private training spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from governance.claims import PrivacyClaim
from governance.measure import Unit
from governance.record import ModelEntry, RunRecord
from reports.blocks import Block, Cell, Chapter, Table
from reports.text import Texts, clean
from reports.view import View

MOST = 400  # rows of a table


@dataclass(frozen=True, slots=True)
class Spent:
    """A private training that the audit trail says began, and of which no readable record is left.

    Attributes:
        run: "<audit>/<id>"; hostile.
        model: hostile.
        epsilon: at most spent, in nats.
        delta: at which it holds.
        unit: who is protected.
        at: when it began, ISO 8601.
    """

    run: str
    model: str
    epsilon: float
    delta: float
    unit: str
    at: str


def epsilons(view: View) -> str:
    """What a run's private models promise, on one line; empty where it has none."""
    texts = view.texts
    return texts("list.long").join(
        texts("index.epsilon", model=model.label, epsilon=texts.number(model.entry.claim.epsilon, Unit.NATS))
        for model in view.charted[:8]
        if model.entry.claim is not None
    )


def chapter(texts: Texts, views: Sequence[View], spent: Sequence[Spent], problems: int, trail: str) -> Chapter:
    """The chapter.

    Args:
        texts: of the language.
        views: every run that can be read.
        spent: what else the audit trail tells of.
        problems: records and verdicts without a line in it.
        trail: why it can't be read.
    """
    blocks = []
    table = _spending(texts, views)
    if table is not None:
        blocks.append(Block(tables=[table]))
    if spent:
        title = texts("index.budget.unrecorded")
        blocks.append(
            Block(title=title, text=[texts("index.budget.unrecorded.text")], tables=[_unrecorded(texts, spent)])
        )
    notes = [texts("index.budget.none")] if not blocks and not trail else []
    if problems:
        notes.append(texts("index.budget.problems", n=texts.count(problems)))
    if trail:
        notes.append(texts("index.budget.trail", reason=clean(trail)))
    if notes:
        blocks.append(Block(text=notes))
    return Chapter("budget", texts("index.budget.title"), texts("index.budget.lead"), blocks)


def _copied(record: RunRecord, entry: ModelEntry) -> bool:
    """Whether a model's promise is that of the model which it is a quantised copy of, paid for once."""
    twin = entry.twin if entry.twin is not None and entry.twin.by == "quantised" else None
    return twin is not None and any(one.name == twin.of and one.claim == entry.claim for one in record.models)


def _spending(texts: Texts, views: Sequence[View]) -> Table | None:
    """Private models by the rows that they were trained on; one that several runs weigh counts once."""
    found: dict[str, dict[object, tuple[RunRecord, ModelEntry, PrivacyClaim]]] = {}
    for view in sorted(views, key=lambda one: one.record.created):
        record = view.record
        rows = record.data.rows_digest or record.data.digest
        for entry in record.models:
            if entry.claim is not None and not _copied(record, entry):
                key = entry.digest or (record.digest(), entry.name)
                found.setdefault(rows, {})[key] = (record, entry, entry.claim)
    keys = ("index.budget.data", "index.budget.models", "index.budget.largest", "index.budget.book")
    head = [Cell(texts(key)) for key in keys]
    made = [_data_row(texts, list(models.values())) for models in list(found.values())[:MOST]]
    return Table(texts("index.budget.title"), head, made) if made else None


def _data_row(texts: Texts, models: Sequence[tuple[RunRecord, ModelEntry, PrivacyClaim]]) -> list[Cell]:
    record = models[-1][0]
    widest = max((claim for _, _, claim in models), key=lambda claim: claim.epsilon)
    delta = texts.number(widest.delta, Unit.PROBABILITY)
    books = [claim for _, _, claim in models if claim.ledger_epsilon is not None]
    # A book only grows, so the largest that it ever said is the latest.
    book = max(books, key=lambda claim: claim.ledger_epsilon or 0.0, default=None)
    told = Cell(texts("index.budget.unbooked"), kind="missing")
    if book is not None and book.ledger_epsilon is not None:
        runs = texts("index.budget.runs", n=texts.count(book.ledger_runs)) if book.ledger_runs else ""
        told = Cell(texts.number(book.ledger_epsilon, Unit.NATS), small=runs, kind="number")
    names = texts("list").join(dict.fromkeys(clean(entry.name, 40) for _, entry, _ in models[:8]))
    return [
        Cell(clean(record.data.name, 80), small=clean(record.data.source, 80)),
        Cell(texts.count(len(models)), small=names, kind="number"),
        Cell(texts.number(widest.epsilon, Unit.NATS), small=_promise(texts, delta, widest.unit), kind="number"),
        told,
    ]


def _promise(texts: Texts, delta: str, unit: str) -> str:
    return texts("index.budget.delta", delta=delta, unit=clean(texts.said(unit), 40))


def _unrecorded(texts: Texts, spent: Sequence[Spent]) -> Table:
    rows = [
        [
            Cell(clean(one.run, 120), small=texts.date(one.at)),
            Cell(clean(one.model, 60)),
            Cell(texts.number(one.epsilon, Unit.NATS),
                 small=_promise(texts, texts.number(one.delta, Unit.PROBABILITY), one.unit), kind="number"),
        ]
        for one in spent[:MOST]
    ]  # fmt: skip
    head = [Cell(texts(key)) for key in ("index.table.run", "table.model", "index.budget.plan")]
    return Table(texts("index.budget.unrecorded"), head, rows)
