"""Renderings of a record: pure functions of record, verdict, policy and language.

None computes a figure of its own, reads a clock or touches the disk, so the same four
inputs always give the same bytes, a year later too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from governance.policy import Policy, Status, Verdict
    from governance.record import RunRecord

__all__ = ["Line", "render", "summarise"]


def render(record: RunRecord, verdict: Verdict, policy: Policy, *, language: str = "en") -> Mapping[str, bytes]:
    """Everything that people and CI systems read of one judgement.

    Args:
        record: what was measured.
        verdict: `judge(record, policy)`.
        policy: what was demanded.
        language: "en" or "zh".

    Returns:
        Relative path -> content: report.html, junit.xml, summary.md, verdict.json, card/<model>.md.
        Paths are made of a-z, 0-9 and hyphens, whatever the record calls its models.

    Raises:
        ConfigError: there is no such language.
        RecordError: the verdict is of another record or policy.
    """
    import json

    from reports import card, ci, html
    from reports.text import Texts
    from reports.view import View

    view = View(record, verdict, policy, Texts(language))
    judged = json.dumps(verdict.model_dump(mode="json"), indent=1, ensure_ascii=True, allow_nan=False)
    return {
        "report.html": html.render(view),
        "junit.xml": ci.junit(view),
        "summary.md": ci.summary(view),
        "verdict.json": judged.encode() + b"\n",
        **{f"card/{model.slug}.md": card.render(view, model) for model in view.models},
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One model's verdict, for a terminal: all strings are clean and in the reader's language.

    Attributes:
        status: for colour.
        said: the status in words.
        counts: blocking controls by status, in words.
        figures: title -> figure with its interval, the same titles in every line.
    """

    model: str
    candidate: bool
    status: Status
    said: str
    counts: str
    note: str
    figures: Mapping[str, str]


def summarise(record: RunRecord, verdict: Verdict, policy: Policy, *, language: str = "en") -> Sequence[Line]:
    """What a terminal shows at the end of an audit: one line per model, the candidate first.

    Raises:
        ConfigError: there is no such language.
        RecordError: the verdict is of another record or policy.
    """
    from reports.tables import comparison, counted
    from reports.text import Texts
    from reports.view import View

    texts = Texts(language)
    view = View(record, verdict, policy, texts)
    table = comparison(view)
    # The first two columns, model and verdict, have fields of their own.
    titles = [cell.text for cell in table.head[2:]]
    return [
        Line(
            model=model.label,
            candidate=model.candidate,
            status=model.status,
            said=texts(f"status.{model.status.value}"),
            counts=counted(texts, model),
            note=model.note or "",
            figures={
                title: texts("terminal.figure", value=cell.text, small=cell.small) if cell.small else cell.text
                for title, cell in zip(titles, row[2:], strict=True)
            },
        )
        for model, row in zip(view.charted, table.rows, strict=True)
    ]
