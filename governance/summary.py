"""The verdicts as a plain table for a terminal."""

from __future__ import annotations

from collections import Counter

from governance.measure import EVERYONE, Fact, NotMeasured
from governance.policy import Status, Verdict
from governance.record import RunRecord

FIGURES = (("AUC", "quality.auc"), ("bal. acc.", "quality.balanced_accuracy"), ("epsilon", "privacy.epsilon"))


def verdict_table(record: RunRecord, verdict: Verdict) -> str:
    """A line per model: main figures, controls, verdict. Then what keeps the candidate from passing."""
    head = ["model", *(title for title, _ in FIGURES), "pass", "fail", "unproven", "verdict"]
    rows = [head]
    for entry in record.models:
        found = verdict.of(entry.name)
        counts = Counter(finding.status for finding in found.findings if finding.severity == "block")
        role = {record.candidate: " (candidate)", record.incumbent: " (incumbent)"}.get(entry.name, "")
        figures = [_figure(record, entry.name, metric) for _, metric in FIGURES]
        states = [str(counts[status]) for status in (Status.PASS, Status.FAIL, Status.UNPROVEN)]
        rows.append([entry.name + role, *figures, *states, found.status.upper()])
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *_why(verdict), ""])


def _why(verdict: Verdict) -> list[str]:
    """The controls that keep the candidate from passing, one line each, failed ones first."""
    candidate = verdict.of(verdict.candidate)
    lines = []
    for status in (Status.FAIL, Status.UNPROVEN):
        controls: dict[str, list[str]] = {}
        for finding in candidate.findings:
            if finding.status == status and finding.severity == "block":
                controls.setdefault(finding.control, []).append(finding.slice)
        for control, slices in controls.items():
            where = "" if slices == [EVERYONE.label()] else f" ({'; '.join(slices)})"
            lines.append(f"{status.upper():9} {control}{where}")
    return lines


def _figure(record: RunRecord, model: str, metric: str) -> str:
    for outcome in record.outcomes:
        if (outcome.model, outcome.metric, outcome.slice) == (model, metric, EVERYONE):
            if isinstance(outcome, NotMeasured):
                return "-"
            if isinstance(outcome, Fact) or outcome.low is None or outcome.high is None:
                return f"{outcome.value:.2f}"
            return f"{outcome.value:.3f} [{outcome.low:.3f}, {outcome.high:.3f}]"
    return "-"
