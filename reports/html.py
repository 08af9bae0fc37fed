"""One self-contained HTML page: the verdict first, then why, then one chapter per aspect.

No script, no network, no font of its own. Whatever a record holds is escaped twice over:
`finalize` cleans, isolates and escapes every value, and the page's own policy forbids scripts.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from governance.measure import ANY, Outcome
from governance.policy import Status
from reports import (
    chapter_bill,
    chapter_changes,
    chapter_decision,
    chapter_drivers,
    chapter_fairness,
    chapter_imported,
    chapter_policy,
    chapter_privacy,
    chapter_quality,
    chapter_rest,
    waivers,
)
from reports.blocks import Cell, Shelf, cell
from reports.charts import style_of
from reports.filters import Filter
from reports.findings import Standing
from reports.tables import comparison, headlines, status_of
from reports.text import Texts, clean
from reports.view import ModelView, View

PROSE = 1500
RARE = (Standing.WAIVED, Standing.SHOWN)
TALLIED = (Standing.PASS, Standing.FAIL, Standing.UNPROVEN, *RARE)
"""What the verdict's tally counts; the rare ones where there are any."""
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_PATHS = {
    "circle": "M12.5 8a4.5 4.5 0 1 1-9 0a4.5 4.5 0 1 1 9 0Z",
    "square": "M4 4h8v8h-8Z",
    "triangle-up": "M8 3l5.5 9.5h-11Z",
    "diamond": "M8 2.5l5.5 5.5-5.5 5.5-5.5-5.5Z",
    "cross": "M6.3 3h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3Z",
    "triangle-down": "M8 13l5.5-9.5h-11Z",
    "triangle-right": "M13 8l-9.5 5.5v-11Z",
}


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure of the candidate."""

    title: str
    says: str
    cell: Cell
    status: Status | None
    where: str


def isolate(value: object, limit: int = PROSE) -> Markup:
    """A value as safe markup: cleaned, escaped, and fenced off where it is written right to left."""
    if isinstance(value, Markup):
        return value
    text = clean(value, limit)
    if not text.isascii() and any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text):
        return Markup("<bdi>{}</bdi>").format(text)
    return escape(text)


def rich(texts: Texts, key: str, **values: object) -> Markup:
    """A string with its `{names}` filled by safe markup."""
    return escape(texts(key)).format(**{name: isolate(value) for name, value in values.items()})


def attribute(value: object) -> Markup:
    """A value for an attribute or a title: escaped, with no tags."""
    return escape(clean(value))


def strong(value: object) -> Markup:
    """A value that stands out."""
    return Markup("<b>{}</b>").format(isolate(value))


def swatch(model: ModelView) -> Markup:
    """A model's mark, as charts draw it."""
    colour, shape = style_of(model.mark)
    return Markup('<svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><path d="{}" fill="{}"/></svg>').format(
        _PATHS[shape], colour
    )


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates whose every value passes `isolate`."""
    made = Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=isolate,
    )
    made.filters |= {"attr": attribute, "verbatim": escape, "strong": strong, "swatch": swatch}
    return made


def render(view: View) -> bytes:
    """The page, UTF-8."""
    texts = view.texts
    shelf = Shelf(view)
    chapters = [
        chapter_decision.chapter(view),
        chapter_quality.chapter(shelf),
        *chapter_bill.chapters(shelf),
        chapter_imported.chapter(shelf),
        chapter_drivers.chapter(shelf),
        chapter_fairness.chapter(shelf),
        chapter_privacy.chapter(shelf),
        chapter_rest.explanation(shelf),
        chapter_rest.data(shelf),
        chapter_rest.other(shelf),
        chapter_changes.chapter(view),
        chapter_policy.chapter(view),
        chapter_rest.limits(view),
        chapter_rest.verify(view),
    ]
    template = environment().get_template("report.html")
    page = template.render(
        t=texts,
        rich=partial(rich, texts),
        v=view,
        svg=Markup,
        filter=Filter(view),
        chapters=[chapter for chapter in chapters if chapter is not None],
        comparison=comparison(view),
        tiles=tiles(view),
        reasons=reasons(view),
        statements=chapter_changes.sentences(view, ("failed",)),
        standings=[one for one in TALLIED if one not in RARE or view.candidate.counts[one]],
        bad=[waivers.bad(texts, use) for use in view.bad_waivers],
        waivers=waivers.table(view),
    )
    # Lone surrogates and the like are spelt out by `clean`; what is left always encodes.
    return page.encode()


def tiles(view: View) -> list[Tile]:
    """The candidate's key figures: quality, its cost in quality, the widest gap tested, the promise, the attack."""
    name, reference = view.record.candidate, view.record.incumbent
    found: list[tuple[Outcome | None, str | None]] = []
    for metric in headlines(view)[:1]:
        found.append((view.find(metric, name), None))
        found.append((view.find(f"{metric}.difference", name, reference=reference), reference))
    found += [(outcome, None) for outcome in _tested_gaps(view)[:1]]
    found += [(view.find(metric, name), None) for metric in ("privacy.epsilon", "membership.auc")]
    return [_tile(view, outcome, against) for outcome, against in found if outcome is not None]


def _tested_gaps(view: View) -> list[Outcome]:
    """The candidate's gaps between groups that controls test, in the controls' order: worst first."""
    return [
        item.outcome
        for control in view.controls
        for item in control.of(view.record.candidate)
        if item.outcome is not None
        and item.outcome.metric.startswith("fairness.")
        and any(value == ANY for _, value in item.outcome.slice)
    ]


def _tile(view: View, outcome: Outcome, reference: str | None) -> Tile:
    texts = view.texts
    metric = texts.metric(outcome.metric, reference=reference)
    where = texts.slice(outcome.slice) if outcome.slice.pairs else ""
    return Tile(metric.title, metric.says, cell(view, outcome), status_of(view, outcome, view.candidate), where)


def reasons(view: View) -> list[dict[str, Any]]:
    """Why the verdict is what it is: the candidate's controls that are not met, worst first."""
    groups = {one.value: view.standing_at(one) for one in (Standing.FAIL, Standing.UNPROVEN, Standing.WAIVED)}
    groups["none"] = view.warnings
    return [{"name": name, "controls": controls} for name, controls in groups.items() if controls]
