"""The verdict on a terminal: a line per model, then what keeps the candidate from passing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from governance.measure import EVERYONE, NotMeasured
from governance.policy import Policy, Status, Verdict
from governance.record import RunRecord
from reports.blocks import cell
from reports.chapter_privacy import promise
from reports.tables import counted, headlines
from reports.text import Texts, clean
from reports.view import ControlView, ModelView, View

GAP = 2


def render(record: RunRecord, verdict: Verdict, policy: Policy, *, language: str) -> str:
    """The table and the reasons, as plain text in one language; hostile names are clean.

    Raises:
        ConfigError: there is no such language.
        RecordError: the verdict is of another record or policy.
    """
    texts = Texts(language)
    view = View(record, verdict, policy, texts)
    metrics = headlines(view)
    head = [texts("table.model"), *(texts.metric(metric).title for metric in metrics), texts("table.privacy")]
    head += [texts("terminal.controls"), texts("table.verdict")]
    rows = [_row(view, model, metrics) for model in view.charted]
    unmet = [_reason(view, control) for status in (Status.FAIL, Status.UNPROVEN) for control in view.blocking(status)]
    return "\n".join([*_aligned([head, *rows]), *([""] if unmet else []), *unmet])


def whereabouts(verdict: Verdict, places: Mapping[str, str], *, language: str) -> str:
    """Where the report, the cards and the record are, and what a gate would answer."""
    texts = Texts(language)
    status = texts(f"status.{verdict.status.value}")
    lines = [f"{texts(f'terminal.{name}')} {path}" for name, path in places.items()]
    lines.append(texts("terminal.gate", code=verdict.exit_code, status=status, candidate=clean(verdict.candidate, 40)))
    return "\n".join(lines)


def _row(view: View, model: ModelView, metrics: Sequence[str]) -> list[str]:
    texts = view.texts
    role = texts("terminal.candidate") if model.candidate else texts("terminal.incumbent") if model.incumbent else ""
    figures = []
    for metric in metrics:
        outcome = view.find(metric, model.name)
        found = cell(view, outcome)
        interval = found.small and outcome is not None and not isinstance(outcome, NotMeasured)
        figures.append(texts("terminal.figure", value=found.text, small=found.small) if interval else found.text)
    label = f"{model.label} {role}".rstrip()
    said = texts(f"status.{model.status.value}").upper()
    return [label, *figures, promise(texts, model).text, counted(texts, model), said]


def _reason(view: View, control: ControlView) -> str:
    """One unmet control: its status, its sentence, and where it is not met if not everywhere."""
    texts, candidate = view.texts, view.candidate.name
    status = control.status or Status.UNPROVEN
    unmet = [item for item in control.of(candidate) if item.finding.status is status]
    places = "; ".join(item.where for item in unmet if item.finding.slice != EVERYONE.label())
    where = texts("terminal.where", where=places) if places else ""
    return f"{texts(f'status.{status.value}').upper()}  {control.says} [{control.control.id}]{where}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side; a Han character is two cells wide."""
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "".join(text + " " * (width - cell_len(text) + GAP) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * cell_len(max(lines, key=cell_len)), *lines[1:]]
