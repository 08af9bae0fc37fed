"""Whose data is safe: the claim beside the attack, the scrubber on planted data, what left the machine."""

from __future__ import annotations

from collections.abc import Sequence

from governance.claims import PrivacyClaim
from governance.measure import Measurement, Unit
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
from reports.chapter_quality import across_models
from reports.charts import Point, forest
from reports.text import Texts, clean
from reports.view import ModelView, View

SCRUBBER_MARK = 4
"""The scrubber is no model: its marks are drawn in ink."""
PREFIXES = ("privacy.", "membership.", "scrubber.", "leakage.", "canary.")


def chapter(shelf: Shelf) -> Chapter:
    """The chapter on privacy."""
    view, texts = shelf.view, shelf.view.texts
    blocks = [_attack(shelf), _claims(shelf), *_scrubber(shelf), _left(shelf)]
    rest = shelf.rest(lambda metric: metric.startswith(PREFIXES))
    if rest:
        title = texts("more.privacy")
        blocks.append(Block(title=texts("more"), tables=[generic(view, rest, title)], folded=title))
    return Chapter("privacy", texts("privacy.title"), texts("privacy.lead"), [b for b in blocks if b is not None])


def claim_rows(texts: Texts, claim: PrivacyClaim) -> list[tuple[str, str, str]]:
    """A claim line by line: what it is called, its value, what it means."""
    values = {
        "epsilon": texts.number(claim.epsilon, Unit.NATS),
        "delta": texts.number(claim.delta, Unit.PROBABILITY),
        "unit": texts.said(claim.unit),
        "neighbouring": texts.said(claim.neighbouring),
        "accountant": texts.said(claim.accountant),
        "sampling": texts("claim.sampling.value", kind=texts.said(claim.sampling), rate=f"{claim.sample_rate:.4g}"),
        "sigma": f"{claim.sigma:.4g}",
        "steps": texts.count(claim.steps),
        "clipping": f"{claim.clipping:.4g}",
        "normaliser": f"{claim.normaliser:.6g}",
        "n": texts.count(claim.n),
        "target": texts.number(claim.target_epsilon, Unit.NATS),
        "rng": texts.said(claim.rng),
        "covers": texts.said(claim.covers),
    }
    return [(texts(f"claim.{key}.title"), clean(value), texts(f"claim.{key}.says")) for key, value in values.items()]


def _claims(shelf: Shelf) -> Block:
    view, texts = shelf.view, shelf.view.texts
    tables, items = [], []
    for model in view.charted:
        claim = model.entry.claim
        if claim is None:
            key = "privacy.unclaimed.trained" if model.entry.trained else "privacy.unclaimed.other"
            items.append(texts(key, model=model.label))
            continue
        rows = [[Cell(title, small=says), Cell(value)] for title, value, says in claim_rows(texts, claim)]
        uncovered = texts("list.long").join(clean(texts.said(line)) for line in claim.not_covered)
        rows.append([Cell(texts("claim.not_covered.title"), small=texts("claim.not_covered.says")), Cell(uncovered)])
        caption = texts("privacy.claim.caption", model=model.label)
        head = [Cell(texts("table.claim")), Cell(texts("table.value"))]
        tables.append(Table(caption, head, rows))
    names = [f"privacy.{name}" for name in ("epsilon", "delta", "delta_times_n")]
    title = texts("privacy.claim.title")
    facts = matrix(shelf, names, caption=texts("privacy.claim.facts"))
    return Block(title=title, text=[texts("privacy.claim.text")], tables=[*tables, *present([facts])], items=items)


def _attack(shelf: Shelf) -> Block | None:
    view, texts = shelf.view, shelf.view.texts
    panels = [
        panel
        for name, zero in (("membership.auc", 0.5), ("membership.tpr_at_1pct_fpr", 1.0))
        if (panel := across_models(view, name, zero=zero))
    ]
    title = texts("privacy.attack.title")
    names = ("membership.auc", "membership.tpr_at_1pct_fpr")
    found = matrix(shelf, names, caption=title)
    if found is None:
        return None
    promised = [metric_cell(texts, "privacy.epsilon"), *(promise(texts, model) for model in view.charted)]
    table = Table(title, found.head, [promised, *found.rows])
    measured = [m for m in view.charted if any(isinstance(view.find(n, m.name), Measurement) for n in names)]
    text = [texts("privacy.attack.text")]
    return Block(title, text, panels=panels, tables=[table], key=measured)


def promise(texts: Texts, model: ModelView) -> Cell:
    """What a model promises, in one cell."""
    claim = model.entry.claim
    if claim is None:
        return Cell(texts("privacy.short.remote" if model.entry.remote else "privacy.short.none"), kind="missing")
    epsilon, delta = texts.number(claim.epsilon, Unit.NATS), texts.number(claim.delta, Unit.PROBABILITY)
    return Cell(f"ε = {epsilon}", small=f"δ = {delta}", kind="number")


def _scrubber(shelf: Shelf) -> list[Block]:
    view, texts = shelf.view, shelf.view.texts
    found = [o for o in view.all("scrubber.recall", None) if isinstance(o, Measurement)]
    languages = list(dict.fromkeys(dict(o.slice).get("language", "") for o in view.all("scrubber.recall", None)))
    panels, rows = [], []
    for place, language in enumerate(languages):
        points = [
            Point(dict(o.slice).get("entity", o.slice.label()), SCRUBBER_MARK, *scaled(o))
            for o in found
            if dict(o.slice).get("language", "") == language
        ]
        if points:
            title = texts("privacy.scrubber.panel", language=texts.said(clean(language, 40)))
            axis = axis_of(texts, "scrubber.recall", Unit.RATE)
            panels.append(Panel(title, "", forest(points, name=f"scrubber-{place}", title=title, axis=axis)))
    names = ("scrubber.recall", "scrubber.recall.structured", "scrubber.leak", "scrubber.false_per_100")
    for name in names:
        for outcome in view.all(name, None):
            shelf.take([outcome])
            where = Cell(texts.slice(outcome.slice))
            rows.append([Cell(texts.metric(name).title), where, cell(view, outcome, size=True)])
    if not rows:
        return []
    title = texts("privacy.scrubber.title")
    head = [Cell(texts(f"table.{name}")) for name in ("metric", "slice", "value")]
    says = [texts("privacy.scrubber.text")]
    if view.record.data.not_scrubbed:
        gaps = texts("list.long").join(clean(texts.said(gap)) for gap in view.record.data.not_scrubbed)
        says.append(texts("privacy.scrubber.gaps", gaps=gaps))
    return [Block(title, says, panels=panels, tables=[Table(title, head, rows)], folded=texts("fold.table"))]


def _left(shelf: Shelf) -> Block:
    view, texts = shelf.view, shelf.view.texts
    remote = [model for model in view.charted if model.entry.remote]
    rows = [
        [Cell(model.label, model=model), Cell(clean(model.entry.source, 120)), _sent(view, model)] for model in remote
    ]
    head = [Cell(texts("table.model")), Cell(texts("table.endpoint")), Cell(texts("table.sent"))]
    title = texts("privacy.left.title")
    tables: Sequence[Table | None] = (
        Table(title, head, rows) if rows else None,
        matrix(shelf, ("leakage.outputs", "leakage.outputs_after"), caption=texts("privacy.outputs.title")),
    )
    key = "privacy.left.text" if remote else "privacy.left.none"
    return Block(title=title, text=[texts(key)], tables=present(tables))


def _sent(view: View, model: ModelView) -> Cell:
    texts, sent = view.texts, dict(model.entry.sent)
    asked = texts("privacy.sent", n=texts.count(sent.pop("rows", model.entry.weighed_on)))
    kinds = texts("list").join(f"{clean(entity, 40)} {texts.count(n)}" for entity, n in sent.items())
    return Cell(asked, small=texts("privacy.scrubbed", kinds=kinds) if kinds else "")
