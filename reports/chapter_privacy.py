"""Whose data is safe: the claim beside the attack, what the scrubber leaves, who stands out, what left the machine."""

from __future__ import annotations

from collections.abc import Sequence

from governance.claims import PrivacyClaim
from governance.measure import Fact, Measurement, NotMeasured, Slice, Unit
from reports import promises, vendor
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
from reports.courses import membership_roc
from reports.text import Texts, clean
from reports.view import ModelView, View

SCRUBBER_MARK = 4
"""The scrubber is no model: its marks are drawn in ink."""
LEADING = (
    ("scrubber.leak", None),
    ("scrubber.recall.structured", None),
    ("scrubber.recall", "PERSON"),
    ("scrubber.recall", "STREET_ADDRESS"),
    ("scrubber.false_per_100", None),
)
"""What the scrubber is judged by, (metric, entity): names and addresses apart from what has a format of its own."""
PREFIXES = ("privacy.", "membership.", "scrubber.", "anonymity.", "leakage.", "canary.")
ANONYMITY = ("smallest_cell", "small_cells", "unique", "risk", "fewest_labels", "one_label", "incomplete")


def chapter(shelf: Shelf) -> Chapter:
    """The chapter on privacy."""
    view, texts = shelf.view, shelf.view.texts
    blocks = [
        _attack(shelf),
        promises.block(shelf),
        membership_roc(view),
        _claims(shelf),
        _scrubber(shelf),
        _entities(shelf),
        _anonymity(shelf),
        _left(shelf),
    ]
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
        **_later(texts, claim),
    }
    return [(texts(f"claim.{key}.title"), clean(value), texts(f"claim.{key}.says")) for key, value in values.items()]


def _later(texts: Texts, claim: PrivacyClaim) -> dict[str, str]:
    """What claims of earlier versions don't say."""
    found = {}
    if claim.unit == "user" and claim.units and claim.cap and claim.drawn:
        drawn = texts.named("claim.users", claim.drawn)
        found["users"] = texts("claim.users.value", users=texts.count(claim.units), cap=claim.cap, drawn=drawn)
    if claim.clipping_style:
        found["style"] = texts.named("claim.style", claim.clipping_style)
    if claim.epsilon_pld is not None:
        found["second"] = texts.number(claim.epsilon_pld, Unit.NATS)
    if claim.curve:
        points = [
            texts("claim.curve.point", epsilon=texts.number(e, Unit.NATS), delta=texts.number(d, Unit.PROBABILITY))
            for e, d in claim.curve
        ]
        found["curve"] = texts("list.long").join(points)
    if claim.ledger_epsilon is not None and claim.ledger_runs is not None:
        epsilon = texts.number(claim.ledger_epsilon, Unit.NATS)
        found["ledger"] = texts("claim.ledger.value", epsilon=epsilon, runs=texts.count(claim.ledger_runs))
    said = {"trained": claim.trained, "setting": claim.setting, "tuning": claim.tuning}
    return found | {key: texts.said(value) for key, value in said.items() if value}


def _claims(shelf: Shelf) -> Block:
    view, texts = shelf.view, shelf.view.texts
    tables, items = [], []
    for model in view.charted:
        claim = model.entry.claim
        if claim is None:
            items.append(_unclaimed(texts, model))
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
    # What epsilon means is of no use to a reader of an audit that trained nothing.
    told = any(model.entry.trained or model.entry.claim for model in view.models)
    text = [texts("privacy.claim.text")] if told else []
    return Block(title=title, text=text, tables=[*tables, *present([facts])], items=items)


def _unclaimed(texts: Texts, model: ModelView) -> str:
    entry = model.entry
    if entry.vendor is not None:
        return vendor.statement(texts, model, entry.vendor)
    return texts("privacy.unclaimed.trained" if entry.trained else "privacy.unclaimed.other", model=model.label)


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
        if model.entry.vendor is not None:
            return Cell(texts("privacy.short.vendor"), kind="missing")
        return Cell(texts("privacy.short.remote" if model.entry.remote else "privacy.short.none"), kind="missing")
    epsilon, delta = texts.number(claim.epsilon, Unit.NATS), texts.number(claim.delta, Unit.PROBABILITY)
    return Cell(f"ε = {epsilon}", small=f"δ = {delta}", kind="number")


def _scrubber(shelf: Shelf) -> Block | None:
    """What gets past the scrubber: first the share of texts that leak anything, then why, a column per language."""
    view, texts = shelf.view, shelf.view.texts
    leaks = view.all("scrubber.leak", None)
    languages = list(dict.fromkeys(dict(leak.slice).get("language", "") for leak in leaks))
    rows = []
    for metric, entity in LEADING:
        at = [Slice.of({"language": language, **({"entity": entity} if entity else {})}) for language in languages]
        found = [view.find(metric, None, where) for where in at]
        if not any(found):
            continue
        if entity is None:  # those of one kind stand among their like as well
            shelf.take(found)
        name = (
            metric_cell(texts, metric) if entity is None else Cell(texts.metric(metric).title, small=texts.said(entity))
        )
        rows.append([name, *(cell(view, outcome, size=True) for outcome in found)])
    says = [*_headlines(view), *_residual(shelf)]
    if not rows and not says:
        return None
    says.append(texts("privacy.scrubber.text"))
    if view.record.data.not_scrubbed:
        gaps = texts("list.long").join(clean(texts.said(gap)) for gap in view.record.data.not_scrubbed)
        says.append(texts("privacy.scrubber.gaps", gaps=gaps))
    title = texts("privacy.scrubber.title")
    head = [Cell(texts("table.metric")), *(Cell(texts.said(clean(language, 40))) for language in languages)]
    return Block(title, says, tables=[Table(title, head, rows)] if rows else [])


def _headlines(view: View) -> list[str]:
    texts = view.texts
    return [
        texts(
            "privacy.scrubber.leak",
            language=texts.said(clean(dict(leak.slice).get("language", ""), 40)),
            share=texts.value(leak),
            interval=texts.interval(leak, bare=False),
            n=texts.count(leak.n),
        )
        for leak in view.all("scrubber.leak", None)
        if isinstance(leak, Measurement)
    ]


def _residual(shelf: Shelf) -> list[str]:
    texts, found = shelf.view.texts, shelf.view.find("scrubber.residual", None)
    shelf.take([found])
    if found is None:
        return []
    if isinstance(found, NotMeasured):
        return [texts("reason.not_measured", reason=clean(texts.said(found.reason)))]
    method = clean(texts.said(found.method))
    return [texts("privacy.scrubber.residual", figure=texts.figure(found), method=method)]


def _entities(shelf: Shelf) -> Block | None:
    """Recall of each kind of personal data, by language."""
    view, texts = shelf.view, shelf.view.texts
    found = view.all("scrubber.recall", None)
    if not found:
        return None
    shelf.take(found)
    panels = []
    for place, language in enumerate(dict.fromkeys(dict(o.slice).get("language", "") for o in found)):
        points = [
            Point(texts.said(dict(o.slice).get("entity", o.slice.label())), SCRUBBER_MARK, *scaled(o))
            for o in found
            if isinstance(o, Measurement) and dict(o.slice).get("language", "") == language
        ]
        if points:
            title = texts("privacy.scrubber.panel", language=texts.said(clean(language, 40)))
            axis = axis_of(texts, "scrubber.recall", Unit.RATE)
            panels.append(Panel(title, "", forest(points, name=f"scrubber-{place}", title=title, axis=axis)))
    title = texts("privacy.entities.title")
    head = [Cell(texts(f"table.{name}")) for name in ("slice", "value")]
    rows = [[Cell(texts.slice(outcome.slice)), cell(view, outcome, size=True)] for outcome in found]
    text = [texts("privacy.entities.text")]
    return Block(title, text, panels=panels, tables=[Table(title, head, rows)], folded=texts("fold.table"))


def _anonymity(shelf: Shelf) -> Block:
    """Who can be told from the rest by what is known of them; shown even unmeasured, for what it says of scrubbing."""
    view, texts = shelf.view, shelf.view.texts
    found = [outcome for name in ANONYMITY for outcome in view.all(f"anonymity.{name}", None)]
    title, says = texts("privacy.anonymity.title"), [texts("privacy.anonymity.scrubbed")]
    facts = [outcome for outcome in found if isinstance(outcome, Fact)]
    if not facts:
        reasons = [outcome.reason for outcome in found if isinstance(outcome, NotMeasured)]
        shelf.take(found)
        reason = texts("reason.not_measured", reason=clean(texts.said(reasons[0]))) if reasons else ""
        return Block(title, [*says, reason or texts("privacy.anonymity.none")])
    shelf.take(facts)
    says.append(texts("privacy.anonymity.text", columns=_columns(texts, facts[0].slice)))
    rows = [
        [
            metric_cell(texts, fact.metric),
            Cell(texts.value(fact), small=clean(texts.said(fact.method)), kind="number"),
        ]
        for fact in facts
    ]
    head = [Cell(texts("table.metric")), Cell(texts("table.value"))]
    return Block(title, says, tables=[Table(title, head, rows)])


def anonymity_line(view: View) -> dict[str, str] | None:
    """The figures of a card's line on who stands out; None where they were not measured."""
    names = ("smallest_cell", "unique", "small_cells", "risk")
    facts = {name: fact for name in names for fact in view.all(f"anonymity.{name}", None) if isinstance(fact, Fact)}
    if len(facts) < len(names):
        return None
    told = {name: view.texts.value(facts[name]) for name in ("smallest_cell", "risk")}
    # In words, with their counts: a share of one row in ten thousand would round to none.
    told |= {name: clean(view.texts.said(facts[name].method)) for name in ("unique", "small_cells")}
    return {"columns": _columns(view.texts, facts["risk"].slice), **told}


def _columns(texts: Texts, where: Slice) -> str:
    return texts("slice.and").join(clean(column, 60) for column, _ in where)


def _left(shelf: Shelf) -> Block:
    view, texts = shelf.view, shelf.view.texts
    remote = [model for model in view.charted if model.entry.remote]
    rows = [
        [Cell(model.label, model=model), Cell(clean(model.entry.source, 120)), sent(view, model)] for model in remote
    ]
    head = [Cell(texts("table.model")), Cell(texts("table.endpoint")), Cell(texts("table.sent"))]
    title = texts("privacy.left.title")
    tables: Sequence[Table | None] = (
        Table(title, head, rows) if rows else None,
        vendor.departures(texts, remote),
        matrix(shelf, ("leakage.outputs", "leakage.outputs_after"), caption=texts("privacy.outputs.title")),
    )
    elsewhere = all(model.entry.kind == "imported" for model in view.charted)
    key = "privacy.left.text" if remote else "privacy.left.imported" if elsewhere else "privacy.left.none"
    bills = [vendor.bill(texts, model, model.entry.vendor) for model in remote if model.entry.vendor is not None]
    return Block(title=title, text=[texts(key)], tables=present(tables), items=bills)


def sent(view: View, model: ModelView) -> Cell:
    """How many texts went to a model's endpoint, and what the scrubber took out of them before."""
    texts, left = view.texts, dict(model.entry.sent)
    asked = texts("privacy.sent", n=texts.count(left.pop("rows", model.entry.weighed_on)))
    kinds = texts("list").join(f"{clean(entity, 40)} {texts.count(n)}" for entity, n in left.items())
    return Cell(asked, small=texts("privacy.scrubbed", kinds=kinds) if kinds else "")
