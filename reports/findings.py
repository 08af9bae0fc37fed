"""One control over all models: what it found, what that comes to, and why, in the reader's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from governance.measure import Fact, Measurement, NotMeasured, Outcome
from governance.policy import Control, Finding, Status, Waiver, WaiverUse, worst
from governance.policy.model import BASELINE
from reports.text import Metric, Texts, clean

if TYPE_CHECKING:
    from reports.view import ModelView, View

ORDER = {Status.FAIL: 0, Status.UNPROVEN: 1, Status.PASS: 2}
"""Worst first: what a reader must see before anything else."""


class Standing(StrEnum):
    """What a control comes to for a model: its status, or why that status doesn't decide."""

    FAIL = "fail"
    UNPROVEN = "unproven"
    WAIVED = "waived"  # somebody answers for all that would block
    SHOWN = "shown"  # not met, but the policy lets that pass
    PASS = "pass"  # noqa: S105 - a verdict, not a password


def standing(findings: Iterable[Finding]) -> Standing:
    """What one control's findings on one model come to."""
    found = list(findings)
    blocking = {finding.status for finding in found if finding.blocks}
    if blocking:
        return Standing(worst(blocking))
    if any(finding.waiver for finding in found):
        return Standing.WAIVED
    return Standing.PASS if all(finding.status is Status.PASS for finding in found) else Standing.SHOWN


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding, the outcome behind it, and the waiver that covers it, in words."""

    finding: Finding
    outcome: Outcome | None
    waiver: WaiverUse | None
    model: ModelView
    where: str
    figure: str
    full: str  # figure and interval in one
    interval: str
    n: str
    method: str
    reason: str
    waived: str  # by whom and until when; empty: nobody answers for it


@dataclass(frozen=True, slots=True)
class ControlView:
    """One control over all models; `statuses` holds the worst finding per model it speaks of, waived or not."""

    control: Control
    metric: Metric
    says: str
    why: str
    bound: str
    status: Status | None  # the candidate's; None: it doesn't speak of the candidate
    standing: Standing | None  # the same, after waivers
    statuses: dict[str, Status]
    evidence: tuple[Evidence, ...]

    @property
    def blocks(self) -> bool:
        """Whether it decides the verdict."""
        return self.control.severity == "block"

    def unmet(self, model: str) -> list[Evidence]:
        """One model's findings that keep it from passing; if none does, all that do not pass."""
        found = [item for item in self.of(model) if item.finding.status is not Status.PASS]
        return [item for item in found if item.finding.blocks] or found

    def of(self, model: str) -> list[Evidence]:
        """One model's findings, those that block first, then worst first."""
        return [item for item in self.evidence if item.finding.model == model]


def control_view(view: View, control: Control, findings: Sequence[Finding]) -> ControlView:
    """One control with its findings on all models, the candidate's first."""
    by_model: dict[str, list[Finding]] = {model.name: [] for model in view.charted}
    for finding in findings:
        by_model[finding.model].append(finding)
    by_model = {name: found for name, found in by_model.items() if found}
    own = by_model.get(view.record.candidate)
    reference = view.record.incumbent if control.reference == "incumbent" else control.reference
    limit = view.policy.bound(control)
    key = "bound.at_least" if control.at_least is not None else "bound.at_most"
    number = view.texts.bound(limit, view.unit_of(control.metric), control.metric)
    return ControlView(
        control=control,
        metric=view.texts.metric(control.metric, reference=reference),
        says=view.texts.says(control.says),
        why=view.texts.says(control.why),
        bound=view.texts(key, bound=number),
        status=worst(finding.status for finding in own) if own else None,
        standing=standing(own) if own else None,
        statuses={name: worst(finding.status for finding in found) for name, found in by_model.items()},
        evidence=tuple(item for found in by_model.values() for item in _evidence(view, control, found)),
    )


def _evidence(view: View, control: Control, findings: Sequence[Finding]) -> list[Evidence]:
    """One model's findings with their outcomes; several of one slice, as of several tasks, stand as in the record."""
    untested = _untested(view, control, findings[0].model)
    turn: Counter[str] = Counter()
    found = []
    for finding in findings:
        matching = [] if untested else view.labelled(finding, control)
        place = turn[finding.slice]
        turn[finding.slice] += 1
        outcome = matching[place] if place < len(matching) else None
        found.append(_told(view, finding, outcome, untested or _reason(view, control, finding, outcome)))
    return sorted(found, key=lambda item: (not item.finding.blocks, ORDER[item.finding.status]))


def _told(view: View, finding: Finding, outcome: Outcome | None, reason: str) -> Evidence:
    texts, use = view.texts, view.waivers.get(finding.waiver or "")
    model = view.model(finding.model)
    assert model is not None  # noqa: S101 - the verdict is of this record, so it names its models
    return Evidence(
        finding=finding,
        outcome=outcome,
        waiver=use,
        model=model,
        where=texts.slice(outcome.slice) if outcome else clean(finding.slice),
        figure=view.value(outcome),
        full=texts.figure(outcome) if isinstance(outcome, Measurement | Fact) else view.value(outcome),
        interval=texts.interval(outcome) if isinstance(outcome, Measurement) else "",
        n=texts.count(outcome.n) if isinstance(outcome, Measurement) else "",
        method=texts.said(outcome.method) if isinstance(outcome, Measurement | Fact) else "",
        reason=reason,
        waived=waived(texts, use.waiver) if use else "",
    )


def _reason(view: View, control: Control, finding: Finding, outcome: Outcome | None) -> str:
    """The policy's reason in the reader's language; the policy itself speaks English."""
    texts = view.texts
    if isinstance(outcome, NotMeasured):
        return texts("reason.not_measured", reason=clean(texts.said(outcome.reason)))
    if outcome is None:
        since = control.reference == BASELINE and view.verdict.baseline is None
        return texts("reason.baseline" if since else "reason.absent", metric=clean(finding.metric, 80))
    if isinstance(outcome, Measurement) and finding.tested is None and outcome.level < view.policy.level - 1e-9:
        return texts("reason.level", level=f"{outcome.level:g}", asked=f"{view.policy.level:g}")
    kind = "interval" if isinstance(outcome, Measurement) and control.end == "pessimistic" else "value"
    return texts(f"reason.{kind}.{finding.status.value}")


def _untested(view: View, control: Control, model: str) -> str:
    """Why a control looks at no outcome of a model at all; empty if it does."""
    texts, named = view.texts, control.models if isinstance(control.models, tuple) else ()
    strangers = sorted(name for name in named if view.model(name) is None)
    if strangers and model == view.record.candidate:  # told once, of the model that the verdict is about
        return texts("reason.strangers", models=clean(texts("list").join(strangers)))
    if control.reference == "incumbent" and view.record.incumbent is None:
        return texts("reason.incumbent")
    if control.parameter is not None and not view.policy.parameters[control.parameter].confirmed:
        return texts("reason.parameter", parameter=clean(control.parameter, 80))
    return ""


def aside(texts: Texts, control: ControlView, item: Evidence) -> str:
    """Why a finding that is not met decides nothing; empty if it decides, is met, or is waived."""
    if not control.blocks:
        return texts("severity.warn")
    shown = not item.finding.blocks and not item.waived and item.finding.status is not Status.PASS
    return texts("status.shown") if shown else ""


def waived(texts: Texts, waiver: Waiver) -> str:
    """Who answers for a finding and until when, on one line."""
    return texts(
        "waiver.line",
        id=waiver.id,
        owner=clean(waiver.owner, 80),
        approver=clean(waiver.approver, 80),
        expires=waiver.expires.isoformat(),
    )
