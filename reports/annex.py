"""Technical documentation after Annex IV of the AI Act, drafted from the record: what is known, and what is missing.

Nine sections in the annex's own order. What a record can tell is filled in; all else is marked as a gap that the
provider has to write, so that a draft is never taken for a document. Nothing here says that a system is high-risk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from reports import card, chapter_rest, waivers
from reports.blocks import Cell, Table, present
from reports.markdown import Md, environment, fill
from reports.text import clean
from reports.view import View


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the annex: what the record tells of it, and what it doesn't.

    Attributes:
        mark: its letter; empty where a section has no points.
        title: what the annex asks for, in short.
        text: what is known.
        tables: the figures.
        items: more of what is known, as a list.
        gap: what the provider has to write; empty: nothing.
    """

    mark: str
    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    items: Sequence[str] = ()
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One of the annex's nine sections."""

    number: int
    title: str
    points: Sequence[Point]


def render(view: View) -> bytes:
    """The draft, UTF-8 Markdown."""
    parts = sections(view)
    gaps = sum(bool(point.gap) for section in parts for point in section.points)
    template = environment().get_template("annex-iv.md")
    page = template.render(t=view.texts, f=partial(fill, view.texts), v=view, sections=parts, gaps=gaps)
    return page.encode()


def sections(view: View) -> list[Section]:
    """All nine, in order."""
    texts = view.texts
    return [
        Section(1, texts("annex.general"), _general(view)),
        Section(2, texts("annex.elements"), [*_development(view), *_testing(view)]),
        Section(3, texts("annex.control"), _control(view)),
        Section(4, texts("annex.metrics"), [_metrics(view)]),
        Section(5, texts("annex.risk"), [_risk(view)]),
        Section(6, texts("annex.changes"), [_changes(view)]),
        Section(7, texts("annex.standards"), [_standards(view)]),
        Section(8, texts("annex.declaration"), [Point("", "", gap=texts("annex.declaration.gap"))]),
        Section(9, texts("annex.post_market"), [Point("", "", gap=texts("annex.post_market.gap"))]),
    ]


def _general(view: View) -> list[Point]:
    texts, record, model = view.texts, view.record, view.candidate
    say = partial(fill, texts)
    lineage = record.lineage
    purpose = [
        *([say("annex.purpose", question=record.question)] if record.question.strip() else []),
        say(
            "annex.version", model=model.name, title=model.entry.title, run=record.run, date=texts.date(record.created)
        ),
    ]
    if view.incumbent and not model.incumbent:
        purpose.append(say("annex.previous", incumbent=view.incumbent.name))
    versions = texts("list").join(f"{clean(name, 40)} {clean(v, 40)}" for name, v in lineage.versions.items())
    return [
        Point("a", texts("annex.purpose.title"), purpose, gap=texts("annex.purpose.gap")),
        Point("b", texts("annex.interaction.title"), gap=texts("annex.interaction.gap")),
        Point(
            "c", texts("annex.versions.title"), [say("annex.versions", versions=versions)],
            gap=texts("annex.versions.gap"),
        ),
        Point("d", texts("annex.forms.title"), gap=texts("annex.forms.gap")),
        Point(
            "e", texts("annex.hardware.title"), [say("annex.hardware", hardware=lineage.hardware)],
            gap=texts("annex.hardware.gap"),
        ),
        Point("f", texts("annex.product.title"), gap=texts("annex.product.gap")),
        Point("g", texts("annex.interface.title"), gap=texts("annex.interface.gap")),
        Point(
            "h", texts("annex.instructions.title"), [say("annex.instructions", card=f"card/{model.slug}.md")],
            gap=texts("annex.instructions.gap"),
        ),
    ]  # fmt: skip


def _development(view: View) -> list[Point]:
    """Section 2, points a to f: how it was made."""
    texts, record, model = view.texts, view.record, view.candidate
    say = partial(fill, texts)
    settings = chapter_rest.settings_of(model)
    design = [say("annex.design", kind=model.entry.kind, labels=chapter_rest.counts_of(view, record.data.labels))]
    if settings:
        design.append(say("card.training.settings", settings=settings))
    seconds = texts("list").join(
        f"{clean(texts.said(stage), 40)} {value:.1f} {texts('unit.s')}" for stage, value in record.seconds.items()
    )
    resources = say("annex.resources", seconds=seconds or texts("unknown"), hardware=record.lineage.hardware)
    return [
        Point("a", texts("annex.methods.title"), _training(view), gap=texts("annex.methods.gap")),
        Point("b", texts("annex.design.title"), design, gap=texts("annex.design.gap")),
        Point("c", texts("annex.architecture.title"), [resources], gap=texts("annex.architecture.gap")),
        Point(
            "d", texts("annex.data.title"), [texts("data.rows.text")], [chapter_rest.data_table(view)],
            gap=texts("annex.data.gap"),
        ),
        Point("e", texts("annex.oversight.title"), gap=texts("annex.oversight.gap")),
        Point("f", texts("annex.predetermined.title"), gap=texts("annex.predetermined.gap")),
    ]  # fmt: skip


def _training(view: View) -> list[Md]:
    """How the candidate came about, in the words of its card."""
    texts, entry = view.texts, view.candidate.entry
    say, source = partial(fill, texts), texts.said(entry.source)
    if entry.vendor:
        rows = texts.count(entry.vendor.training.rows)
        told = say("card.training.vendor", rows=rows, host=entry.vendor.host, base=entry.vendor.base_reported)
    elif entry.trained:
        parts = texts.said(entry.trained_parts or texts("model.trained"))
        told = say("card.training.text", rows=texts.count(entry.trained_on or 0), parts=parts, source=source)
    else:
        told = say("card.training.none", source=source)
    found = [told, say("annex.licence", licence=entry.licence or texts("unknown"))]
    return [*found, say("card.training.digest", digest=entry.digest)] if entry.digest else found


def _testing(view: View) -> list[Point]:
    """Section 2, points g and h: how it was tested, and what an attack found."""
    texts, record, model = view.texts, view.record, view.candidate
    say = partial(fill, texts)
    tested = [
        say("annex.tested", n=texts.count(record.data.rows_test), data=record.data.name, digest=record.data.digest),
        say("annex.log", digest=record.digest(), date=texts.date(record.created)),
    ]
    tables = present([card.metrics_table(view, model), card.fairness_table(view, model, gaps=True)])
    attack, claim = card.attack_table(view, model), card.claim_table(view, model)
    security = [texts("privacy.attack.text")] if attack else [texts("card.privacy.no_attack")]
    return [
        Point("g", texts("annex.testing.title"), tested, tables, gap=texts("annex.testing.gap")),
        Point(
            "h", texts("annex.security.title"), security, present([attack, claim]), gap=texts("annex.security.gap")
        ),
    ]  # fmt: skip


def _control(view: View) -> list[Point]:
    """Accuracy by group; then what this audit can't say of the system's limits."""
    texts = view.texts
    groups = card.fairness_table(view, view.candidate, gaps=False)
    told = texts("annex.control.text") if groups else texts("card.fairness.none")
    items = [texts(f"limits.{name}") for name in chapter_rest.LIMITS]
    return [
        Point("", "", [told], present([groups])),
        Point("", "", [texts("limits.lead")], items=items, gap=texts("annex.control.gap")),
    ]


def _metrics(view: View) -> Point:
    """Each metric that a control tests, what it means, and why the policy asks for it."""
    texts = view.texts
    rows = [
        [Cell(item.metric.title, small=item.metric.says), Cell(item.says), Cell(item.bound), Cell(item.why)]
        for item in view.controls
    ]
    head = [Cell(texts(f"table.{name}")) for name in ("metric", "control", "bound", "why")]
    return Point("", "", tables=[Table(texts("annex.metrics"), head, rows)], gap=texts("annex.metrics.gap"))


def _risk(view: View) -> Point:
    """Controls with their status, who answers for what is not met, and how many clauses no control answers to."""
    texts = view.texts
    say = partial(fill, texts)
    status = texts(f"status.{view.verdict.status.value}")
    text = [say("annex.risk.text", policy=view.policy.name, version=view.policy.version, status=status)]
    if view.policy.not_covered:
        text.append(say("annex.risk.uncovered", n=texts.count(len(view.policy.not_covered))))
    tables = present([card.controls_table(view, view.candidate), waivers.table(view)])
    return Point("", "", text, tables, gap=texts("annex.risk.gap"))


def _changes(view: View) -> Point:
    texts, entry = view.texts, view.candidate.entry
    say = partial(fill, texts)
    text = [say("annex.changes.of", base=entry.of)] if entry.of else []
    if view.verdict.baseline:
        text.append(say("annex.changes.baseline", digest=view.verdict.baseline))
    return Point("", "", text, gap=texts("annex.changes.gap"))


def _standards(view: View) -> Point:
    texts, policy = view.texts, view.policy
    say = partial(fill, texts)
    text = [say("policy.source", source=policy.source)] if policy.source else []
    if policy.built_on:
        text.append(say("policy.built_on", policies=texts("list").join(policy.built_on)))
    return Point("", "", text, gap=texts("annex.standards.gap"))
