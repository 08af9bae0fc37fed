"""All runs of a folder on one page: where each audit stands, how its figures went, what was spent, what expires.

A pure rendering of judged records; what could not be read is listed with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property

from governance.measure import Measurement, NotMeasured, Outcome, Unit
from governance.policy import Status, WaiverUse
from reports import indexbudget, pages
from reports.blocks import Block, Cell, Chapter, Panel, Table, axis_of, cell, scaled
from reports.html import Tile
from reports.tables import headlines
from reports.text import Texts, clean, scale_of
from reports.trends import Moment, trend
from reports.view import View

SOON = 30
"""Days ahead of which an expiring waiver is told."""
MOST = 400  # rows of a table
CHARTS = 24  # on the page; a chart takes about 50 ms and 10 KB
MODELS = 4  # of an audit that are drawn


@dataclass(frozen=True)
class Listed:
    """One run as it was last judged.

    Attributes:
        view: its record and verdict.
        place: "<audit>/<id>", as the folders are named; hostile.
        link: of its report from the page, percent-encoded; empty: there is none.
    """

    view: View
    place: str
    link: str

    @cached_property
    def at(self) -> datetime | None:
        """When it was made; None where the record doesn't say it in ISO 8601."""
        try:
            moment = datetime.fromisoformat(self.view.record.created)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Index:
    """A folder of runs.

    Attributes:
        runs: in any order.
        unreadable: folder -> why it can't be shown.
        spent: what the audit trail says was spent where no record is left.
        problems: records and verdicts that the trail doesn't tell of; None: there is no trail.
        trail: why the trail can't be read; empty: it can, or there is none.
    """

    runs: Sequence[Listed]
    unreadable: Sequence[tuple[str, str]] = ()
    spent: Sequence[indexbudget.Spent] = ()
    problems: int = 0
    trail: str = ""
    audits: dict[str, list[Listed]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Listed]] = {}
        ordered = sorted(self.runs, key=lambda run: (run.at or datetime.min.replace(tzinfo=UTC), run.place))
        for run in ordered:
            found.setdefault(run.view.record.audit, []).append(run)
        object.__setattr__(self, "audits", dict(sorted(found.items())))

    @property
    def latest(self) -> list[Listed]:
        """The last run of each audit."""
        return [runs[-1] for runs in self.audits.values()]


def render(index: Index, texts: Texts, today: date) -> bytes:
    """The page, UTF-8."""
    chapters = [indexbudget.chapter(texts, [run.view for run in index.runs], index.spent, index.problems, index.trail)]
    chapters.insert(0, _waivers(index, texts, today))
    if index.unreadable:
        chapters.append(_unreadable(texts, index.unreadable))
    left = CHARTS
    audits = []
    for place, (audit, runs) in enumerate(index.audits.items()):
        made, left = _audit(texts, audit, runs, place, left)
        audits.append(made)
    footer = texts("index.footer", date=today.isoformat(), runs=texts.count(len(index.runs)))
    page = pages.Page(
        title=texts("index.title"),
        product=texts("index.product"),
        aside=today.isoformat(),
        heading=texts("index.heading"),
        first=texts("index.first"),
        headline=texts("index.headline"),
        lead=texts("index.lead") if index.runs else texts("index.empty"),
        tiles=_tiles(index, texts),
        tables=[_overview(index, texts)] if index.runs else [],
        chapters=[*audits, *chapters],
        footer=footer,
    )
    return pages.render(texts, page)


def _tiles(index: Index, texts: Texts) -> list[Tile]:
    counts: list[tuple[str, int, Status | None]] = [
        (texts("index.audits"), len(index.audits), None),
        (texts("index.runs"), len(index.runs), None),
    ]
    for status in Status:
        n = sum(run.view.verdict.status is status for run in index.latest)
        counts.append((texts(f"index.latest.{status.value}"), n, status))
    return [Tile(title, "", Cell(texts.count(n)), status, "") for title, n, status in counts]


def _overview(index: Index, texts: Texts) -> Table:
    """The last run of each audit, what fails first."""
    order = {Status.FAIL: 0, Status.UNPROVEN: 1, Status.PASS: 2}
    latest = sorted(index.latest, key=lambda run: order[run.view.verdict.status])
    rows = [[Cell(clean(run.view.record.audit, 80)), *_cells(run, _headline(run.view))] for run in latest[:MOST]]
    head = [Cell(texts("index.table.audit")), *_head(texts, texts("table.value"))]
    return Table(texts("index.overview"), head, rows)


def _headline(view: View) -> str | None:
    return next(iter(headlines(view)), None)


def _head(texts: Texts, figure: str) -> list[Cell]:
    keys = ("index.table.when", "index.table.candidate", "table.verdict")
    return [*(Cell(texts(key)) for key in keys), Cell(figure), Cell(texts("index.table.epsilon"))]


def _cells(run: Listed, metric: str | None, *, named: bool = True) -> list[Cell]:
    """When, candidate, verdict, key figure, epsilon; the first links to the report."""
    view, texts = run.view, run.view.texts
    status = view.verdict.status
    found = cell(view, None if metric is None else view.find(metric, view.record.candidate))
    title = texts.metric(metric).title if metric is not None and named else ""
    small = texts("list.long").join(part for part in (title, found.small) if part)
    return [
        Cell(texts.date(view.record.created), small=clean(run.place, 120), link=run.link),
        Cell(view.candidate.label, model=view.candidate),
        Cell(texts(f"status.{status.value}"), status=status),
        Cell(found.text, small=small, kind=found.kind),
        Cell(indexbudget.epsilons(view) or texts("missing"), kind="number"),
    ]


def _audit(texts: Texts, audit: str, runs: Sequence[Listed], place: int, left: int) -> tuple[Chapter, int]:
    """One audit's runs and trends, and how many more charts the page may have."""
    last = runs[-1].view
    metric = _headline(last)
    rows = [_cells(run, metric, named=False) for run in reversed(runs[-MOST:])]
    title = texts.metric(metric).title if metric is not None else texts("table.value")
    told = [texts("index.most", n=texts.count(MOST), all=texts.count(len(runs)))] if len(runs) > MOST else []
    caption = texts("index.caption", audit=clean(audit, 80))
    blocks = [Block(text=told, tables=[Table(caption, _head(texts, title), rows)])]
    if len(runs) > 1:
        block, drawn = _trends(texts, runs[-MOST:], headlines(last), place, left)
        blocks += [block] if block.tables else []
        left -= drawn
    heading = clean(audit, 80)
    return Chapter(f"audit-{place}", heading, clean(last.record.title, 200), blocks), left


def _trends(texts: Texts, runs: Sequence[Listed], metrics: Sequence[str], place: int, left: int) -> tuple[Block, int]:
    """Charts of the models with the most figures, and a table of all figures behind them."""
    names = list(dict.fromkeys(model.name for run in reversed(runs) for model in run.view.charted))
    # As the last run has them, which the tables show too; those of older runs alone come after.
    last = {model.name: model.mark for model in runs[-1].view.models}
    marks = {name: last.get(name, place) for place, name in enumerate(names)}
    panels: list[Panel] = []
    tables: list[Table] = []
    for number, metric in enumerate(metrics):
        found = {name: [run.view.find(metric, name) for run in runs] for name in names}
        shown = sorted(names, key=lambda name: -sum(_told(one) for one in found[name]))
        drawn = [name for name in shown if sum(map(_told, found[name])) > 1][:MODELS]
        for name in drawn[: max(0, left - len(panels))]:
            chart = f"trend-{place}-{number}-{names.index(name)}"
            panels.append(_panel(texts, runs, found[name], (name, metric), marks[name], chart))
        head = [Cell(texts("index.table.when")), *(Cell(clean(name, 40)) for name in shown[:12])]
        rows = [
            [Cell(texts.date(run.view.record.created)), *(cell(run.view, found[name][at]) for name in shown[:12])]
            for at, run in reversed(list(enumerate(runs)))
        ]
        tables.append(Table(texts.metric(metric).title, head, rows))
    text = [texts("index.trend.text")] if panels else []
    if len(names) > MODELS and panels:
        text.append(texts("index.trend.few", n=texts.count(MODELS)))
    block = Block(
        title=texts("index.trend.title"), text=text, panels=panels, tables=tables, folded=texts("fold.tables")
    )
    return block, len(panels)


def _told(one: Outcome | None) -> bool:
    return one is not None and not isinstance(one, NotMeasured)


def _panel(
    texts: Texts, runs: Sequence[Listed], found: Sequence[Outcome | None], told: tuple[str, str], mark: int, name: str
) -> Panel:
    model, metric = clean(told[0], 40), texts.metric(told[1]).title
    moments, unit = [], Unit.SCORE
    for run, one in zip(runs, found, strict=True):
        if run.at is None:
            continue
        at = run.at.timestamp() * 1000
        if isinstance(one, Measurement):
            unit = one.unit
            moments.append(Moment(at, *scaled(one)))
        else:
            value = None
            if one is not None and not isinstance(one, NotMeasured):
                value, unit = one.value * scale_of(one.metric, one.unit), one.unit
            moments.append(Moment(at, value, value, value))
    chart = texts("index.trend.chart", model=model, metric=metric)
    svg = ""
    if any(moment.value is not None for moment in moments):
        svg = trend(moments, mark=mark, name=name, title=chart, axis=axis_of(texts, told[1], unit))
    return Panel(texts("index.trend.panel", model=model, metric=metric), "", svg)


def _waivers(index: Index, texts: Texts, today: date) -> Chapter:
    """Waivers of each audit's last run whose last day is over or near."""
    due: list[tuple[int, Listed, WaiverUse]] = []
    for run in index.latest:
        for use in run.view.verdict.waivers:
            days = (use.waiver.expires - today).days
            if days <= SOON:
                due.append((days, run, use))
    rows = []
    for days, run, use in sorted(due, key=lambda item: (item[0], item[1].place, item[2].waiver.id))[:MOST]:
        key = "index.waivers.over" if days < 0 else "index.waivers.left" if days else "index.waivers.today"
        waiver = use.waiver
        rows.append(
            [
                Cell(waiver.id, small=clean(waiver.control, 100)),
                Cell(clean(run.view.record.audit, 80)),
                Cell(waiver.expires.isoformat(), small=texts(key, n=texts.count(abs(days))), kind="number",
                     status=Status.FAIL if days < 0 else Status.UNPROVEN),
                Cell(texts(f"waiver.state.{use.state.value}")),
                Cell(clean(waiver.owner, 80)),
                Cell(clean(waiver.approver, 80)),
                Cell(clean(waiver.reason, 200)),
            ]
        )  # fmt: skip
    keys = ("waiver.name", "index.table.audit", "waiver.expires", "table.status", "waiver.owner", "waiver.approver")
    head = [*(Cell(texts(key)) for key in keys), Cell(texts("table.reason"))]
    title = texts("index.waivers.title")
    block = Block(tables=[Table(title, head, rows)]) if rows else Block(text=[texts("index.waivers.none", days=SOON)])
    return Chapter("waivers", title, texts("index.waivers.lead", days=SOON, date=today.isoformat()), [block])


def _unreadable(texts: Texts, unreadable: Sequence[tuple[str, str]]) -> Chapter:
    rows = [[Cell(clean(place, 120)), Cell(clean(reason))] for place, reason in unreadable[:MOST]]
    head = [Cell(texts("index.unreadable.folder")), Cell(texts("table.reason"))]
    table = Table(texts("index.unreadable.caption"), head, rows)
    return Chapter(
        "unreadable", texts("index.unreadable.title"), texts("index.unreadable.lead"), [Block(tables=[table])]
    )
