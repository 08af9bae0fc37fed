"""Why it decides as it does; what it was made from; and whatever no other chapter knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from governance.measure import Fact, NotMeasured, Slice
from reports import datatables, losses
from reports.blocks import Block, Cell, Chapter, Panel, Shelf, Table, generic, matrix, present
from reports.chapter_privacy import PREFIXES
from reports.charts import bars
from reports.text import Texts, clean
from reports.view import ModelView, View

WORDS = 12
KNOWN = (
    "quality.", "imported.", "drivers.", "fairness.", "mitigation.", "twin.", "wording.", "explanation.", "data.",
    *PREFIXES,
)  # fmt: skip
LIMITS = (
    "cause", "drift", "other_uses", "groups", "written", "media", "inputs", "attacks", "joint", "security", "people",
    "energy", "law",
)  # fmt: skip
"""What an audit of this kind does not weigh; each has its string."""


def explanation(shelf: Shelf) -> Chapter | None:
    """The chapter on the weightiest words; None where no model was explained, which the last chapters tell."""
    view, texts = shelf.view, shelf.view.texts
    blocks = [block for model in view.charted if (block := _words(shelf, model))]
    for model in view.charted:  # the row on words gives the same reason
        shelf.take(o for o in view.all("explanation.weight", model.name) if isinstance(o, NotMeasured))
    table = matrix(shelf, ("explanation.words", "explanation.placeholders"), caption=texts("explanation.counts.title"))
    if table:
        blocks.append(Block(title=texts("explanation.counts.title"), tables=[table]))
    rest = shelf.rest(lambda metric: metric.startswith("explanation."))
    if rest:
        title = texts("more.explanation")
        blocks.append(Block(title=texts("more"), tables=[generic(view, rest, title)], folded=title))
    return Chapter("explanation", texts("explanation.title"), texts("explanation.lead"), blocks) if blocks else None


def words_of(view: View, model: ModelView) -> dict[str, list[Fact]]:
    """Class -> its words, heaviest first."""
    by_class: dict[str, list[Fact]] = defaultdict(list)
    for outcome in view.all("explanation.weight", model.name):
        if isinstance(outcome, Fact):
            by_class[dict(outcome.slice).get("class", "")].append(outcome)
    return {label: sorted(facts, key=lambda fact: -abs(fact.value)) for label, facts in by_class.items()}


def word_of(where: Slice) -> str:
    """The word of a weight's slice; hostile."""
    return dict(where).get("word", where.label())


def _words(shelf: Shelf, model: ModelView) -> Block | None:
    texts, found = shelf.view.texts, words_of(shelf.view, model)
    if not found:
        return None
    panels, tables = [], []
    head = [Cell(texts("table.word")), Cell(texts("table.weight"))]
    for place, (label, facts) in enumerate(found.items()):
        shelf.take(facts)
        title = texts("explanation.class", label=clean(label, 60))
        drawn = [(word_of(fact.slice), fact.value, model.mark) for fact in facts[:WORDS]]
        name = f"words-{model.slug}-{place}"
        panels.append(Panel(title, "", bars(drawn, name=name, title=title, axis=texts("axis.weight"))))
        rows = [
            [Cell(word_of(fact.slice)), Cell(texts.number(fact.value, fact.unit, fact.metric), kind="number")]
            for fact in facts
        ]
        tables.append(Table(title, head, rows))
    title = texts("explanation.model", model=model.label)
    return Block(title, [texts("explanation.text")], panels=panels, tables=tables, folded=texts("fold.tables"))


def data(shelf: Shelf) -> Chapter:
    """The chapter on data and lineage."""
    view, texts = shelf.view, shelf.view.texts
    blocks = [
        Block(
            title=texts("data.rows.title"),
            text=[texts("data.rows.text")] if view.record.data.rows_train else [],
            tables=[data_table(view)],
        ),
        *datatables.blocks(view),
        *_training(view),
        _lineage(view),
    ]
    rest = shelf.rest(lambda metric: metric.startswith("data."))
    if rest:
        blocks.insert(1, Block(tables=[generic(view, rest, texts("data.checks"))], title=texts("data.checks")))
    return Chapter("data", texts("data.title"), texts("data.lead"), blocks)


def data_table(view: View) -> Table:
    """What the data is: where it comes from, counts and digest."""
    texts, entry = view.texts, view.record.data
    counts = {
        name: texts.count(getattr(entry, f"rows_{name}"))
        for name in ("read", "empty", "duplicate", "used", "train", "test")
    }
    facts = {
        texts("data.name"): clean(entry.name),
        texts("data.source"): clean(entry.source),
        texts("data.licence"): clean(entry.licence or texts("unknown")),
        **{texts(f"data.rows.{name}"): value for name, value in counts.items()},
        **({} if entry.cleaning is None else {texts("data.cleaning"): found_of(texts, entry.cleaning)}),
        texts("data.cluster"): clean(entry.cluster or texts("none")),
        texts("data.clusters"): texts.count(entry.clusters_test),
        **({texts("data.labels"): counts_of(view, entry.labels)} if entry.labels else {}),
        **({texts("data.positive"): clean(entry.positive or texts("none"))} if entry.labels else {}),
        texts("data.scrubbed"): found_of(texts, entry.scrubbed),
        texts("data.digest"): clean(entry.digest),
    }
    return _pairs(view, facts, "data.rows.title")


def counts_of(view: View, counts: Mapping[str, int]) -> str:
    """Names and their counts on one line."""
    shown = view.texts("list").join(f"{clean(key, 40)} {view.texts.count(n)}" for key, n in list(counts.items())[:40])
    return shown or view.texts("none")


def found_of(texts: Texts, counts: Mapping[str, int | str]) -> str:
    """What was found or counted, each in the reader's language: "encoding: mojibake", "missing: age"."""

    def one(name: str, value: int | str) -> str:
        kind, colon, column = name.partition(": ")
        said = texts.said(name)
        if said == name and colon:
            said = f"{texts.said(kind)}: {texts.said(column)}"
        return f"{clean(said, 80)} {texts.count(value) if isinstance(value, int) else value}"

    return texts("list").join(one(name, value) for name, value in list(counts.items())[:40]) or texts("none")


def _pairs(view: View, facts: Mapping[str, str], caption: str) -> Table:
    texts = view.texts
    head = [Cell(texts("table.item")), Cell(texts("table.value"))]
    return Table(texts(caption), head, [[Cell(key), Cell(value)] for key, value in facts.items()])


def settings_of(model: ModelView) -> str:
    """A model's settings on one line."""
    return ", ".join(f"{clean(key, 40)}={clean(value, 60)}" for key, value in model.entry.settings.items())


def _training(view: View) -> list[Block]:
    texts = view.texts
    names = ("model", "kind", "source", "licence", "trained", "rows", "settings", "digest")
    rows = []
    for model in view.charted:
        entry = model.entry
        trained = clean(texts.said(entry.trained_parts or "")) if entry.trained else texts("model.untrained")
        rows.append(
            [
                Cell(model.label, small=clean(entry.title, 120), model=model),
                Cell(clean(entry.kind, 40)),
                Cell(clean(texts.said(entry.source), 160), small=model.note or ""),
                Cell(clean(entry.licence or texts("unknown"), 60)),
                Cell(trained or texts("model.trained")),
                Cell(texts.count(entry.trained_on) if entry.trained_on else texts("missing"), kind="number"),
                Cell(settings_of(model) or texts("none"), code=True),
                Cell(clean(entry.digest or texts("model.undigested"), 100), code=True),
            ]
        )
    title = texts("data.models.title")
    table = Table(title, [Cell(texts(f"models.{name}")) for name in names], rows)
    blocks = [Block(title=title, text=[texts("data.models.text")], tables=[table])]
    return [*blocks, *losses.blocks(view)]


def _lineage(view: View) -> Block:
    texts, record = view.texts, view.record
    made = record.lineage
    dirty = {None: "unknown", True: "data.dirty", False: "data.tidy"}[made.dirty]
    facts = {
        texts("data.record"): record.digest(),
        texts("data.plan"): clean(made.plan),
        texts("data.config"): clean(made.config),
        texts("data.scrub_policy"): clean(made.policy),
        texts("data.policy"): f"{clean(view.policy.name, 80)} {clean(view.policy.version, 40)}",
        texts("data.code"): texts("data.code.value", code=clean(made.code, 120), state=texts(dirty)),
        texts("data.seed"): str(made.seed),
        texts("data.hardware"): clean(made.hardware),
        texts("data.versions"): texts("list").join(f"{clean(k, 40)} {clean(v, 40)}" for k, v in made.versions.items()),
        texts("data.prompts"): texts("list").join(f"{clean(k, 60)} {clean(v, 90)}" for k, v in made.prompts.items())
        or texts("none"),
        texts("data.seconds"): texts("list").join(
            f"{clean(texts.said(k), 40)} {v:.1f} {texts('unit.s')}" for k, v in record.seconds.items()
        )
        or texts("unknown"),
    }
    files = [
        [Cell(clean(name, 120), code=True), Cell(clean(digest, 100), code=True)]
        for name, digest in record.files.items()
    ]
    head = [Cell(texts("table.file")), Cell(texts("table.digest"))]
    tables: list[Table | None] = [_pairs(view, facts, "data.lineage.title")]
    tables.append(Table(texts("data.files.title"), head, files) if files else None)
    return Block(title=texts("data.lineage.title"), text=[texts("data.lineage.text")], tables=present(tables))


def limits(view: View) -> Chapter:
    """What this audit does not weigh."""
    texts = view.texts
    items = [texts(f"limits.{name}") for name in LIMITS]
    if not any(outcome.metric.startswith("explanation.") for outcome in view.record.outcomes):
        items.insert(0, texts("explanation.none"))
    return Chapter("limits", texts("limits.title"), texts("limits.lead"), [Block(items=items)])


VERIFY = """\
from pathlib import Path
from governance.policy import Terms
from governance.record import load_record

run = Path("RUN")
record, terms = load_record(run), Terms.read(run / "latest")
print(record.digest(), terms.judge(record).status.value)"""
"""What an auditor runs; a test runs it too."""


def verify(view: View) -> Chapter:
    """How a third party checks this report."""
    texts, record = view.texts, view.record
    text = [
        texts("verify.run", run=f"runs/{clean(record.audit, 60)}/{clean(record.run, 60)}"),
        texts("verify.digest", digest=record.digest(), status=texts(f"status.{view.verdict.status.value}")),
    ]
    return Chapter("verify", texts("verify.title"), texts("verify.lead"), [Block(text=text, code=VERIFY)])


def other(shelf: Shelf) -> Chapter | None:
    """Outcomes that no chapter knows, as they are."""
    texts = shelf.view.texts
    rest = shelf.rest(lambda metric: not metric.startswith(KNOWN))
    if not rest:
        return None
    block = Block(tables=[generic(shelf.view, rest, texts("other.title"))])
    return Chapter("other", texts("other.title"), texts("other.lead"), [block])
