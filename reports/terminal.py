"""The verdict on a terminal: a line per model, then what keeps the candidate from passing, and what is waived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from governance.measure import EVERYONE, NotMeasured, Outcome
from governance.policy import Policy, Verdict
from governance.record import RunRecord
from reports import waivers
from reports.blocks import cell
from reports.chapter_changes import sentences
from reports.chapter_privacy import promise
from reports.findings import ControlView, Evidence, Standing
from reports.tables import counted, headlines
from reports.text import Texts, clean
from reports.view import ModelView, View

GAP = 2


def render(
    record: RunRecord, verdict: Verdict, policy: Policy, *, changes: Sequence[Outcome] = (), language: str
) -> str:
    """The table and the reasons, as plain text in one language; hostile names are clean.

    Raises:
        ConfigError: there is no such language.
        RecordError: the verdict is of another record or policy.
    """
    texts = Texts(language)
    view = View(record, verdict, policy, texts, changes)
    metrics = headlines(view)
    head = [texts("table.model"), *(texts.metric(metric).title for metric in metrics), texts("table.privacy")]
    head += [texts("terminal.controls"), texts("table.verdict")]
    rows = [_row(view, model, metrics) for model in view.charted]
    reasons = [_reason(view, control) for control in view.standing_at(Standing.FAIL, Standing.UNPROVEN)]
    if view.conclusion == "nothing":
        reasons.append(texts("verdict.sentence.nothing"))
    reasons += [waivers.bad(texts, use) for use in view.bad_waivers]
    reasons += [line for control in view.controls for line in _waived(view, control)]
    reasons += sentences(view)
    return "\n".join([*aligned([head, *rows]), *([""] if reasons else []), *reasons])


def imported(record: RunRecord, *, language: str) -> str:
    """Every figure that another tool measured, under the name that a policy calls it by."""
    texts = Texts(language)
    rows = []
    for outcome in record.outcomes:
        reference = clean(getattr(outcome, "reference", None) or "", 40)
        if isinstance(outcome, NotMeasured):
            figure = texts("reason.not_measured", reason=clean(texts.said(outcome.reason)))
        else:
            figure = texts.figure(outcome)
        name = clean(outcome.model or "", 40)
        rows.append([clean(outcome.metric, 160), f"{name} − {reference}" if reference else name, figure])
    head = [texts(f"table.{name}") for name in ("metric", "model", "value")]
    return "\n".join(aligned([head, *rows]))


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
    """One control that keeps the candidate from passing."""
    status = control.standing or Standing.UNPROVEN
    unmet = [item for item in control.unmet(view.candidate.name) if item.finding.status.value == status.value]
    return _line(view, control, status, unmet)


def _waived(view: View, control: ControlView) -> list[str]:
    """A line for each waiver that covers something of the candidate's."""
    found: dict[str, list[Evidence]] = {}
    for item in control.of(view.candidate.name):
        if item.waived:
            found.setdefault(item.waived, []).append(item)
    return [
        view.texts("terminal.waived", line=_line(view, control, Standing.WAIVED, items), waiver=waiver)
        for waiver, items in found.items()
    ]


def _line(view: View, control: ControlView, status: Standing, items: Sequence[Evidence]) -> str:
    """What it comes to, its sentence, and where if not everywhere."""
    texts = view.texts
    places = "; ".join(item.where for item in items if item.finding.slice != EVERYONE.label())
    where = texts("terminal.where", where=places) if places else ""
    return f"{texts(f'status.{status.value}').upper()}  {control.says} [{control.control.id}]{where}"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns side by side under a rule; a Han character is two cells wide."""
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "".join(text + " " * (width - cell_len(text) + GAP) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [lines[0], "-" * cell_len(max(lines, key=cell_len)), *lines[1:]]
