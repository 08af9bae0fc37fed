"""Hold a record against a policy. Pure and fast: no clock, no disk, and each control looks only at its own outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from governance.measure import ANY, EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice
from governance.policy.model import Control, Finding, ModelVerdict, Policy, Status, Verdict
from governance.policy.waivers import Waiver, WaiverState, WaiverUse
from governance.record import RunRecord

Place: TypeAlias = tuple[str, str | None, str | None]
"""Metric, model, reference: what a control must match exactly."""
NOT_MEASURED = "not measured: "
"""How a finding's reason begins where there is an outcome, but no number."""


def judge(
    record: RunRecord,
    policy: Policy,
    *,
    changes: Sequence[Outcome] = (),
    baseline: str | None = None,
    waivers: Sequence[Waiver] = (),
    today: date | None = None,
    trusted: Iterable[str] = (),
) -> Verdict:
    """Hold a record against a policy: the same arguments give the same verdict, always.

    Every model gets a verdict from its blocking findings; all must pass, which needs no correction for multiplicity.

    Args:
        record: what was measured.
        policy: what is demanded.
        changes: what changed since an earlier run, for controls whose reference is "baseline".
        baseline: digest of that run's record.
        waivers: who answers for what is not met.
        today: the day that decides which waivers count; needed with waivers.
        trusted: ids of waivers whose signature was checked.

    Raises:
        ValueError: waivers without a day, or two of one id.
    """
    if waivers and today is None:
        raise ValueError("waivers need a day on which they are held against their dates")
    if len({waiver.id for waiver in waivers}) < len(waivers):
        raise ValueError("expected each waiver's id once")
    known = _Outcomes([*record.outcomes, *changes], record.incumbent, since=bool(changes))
    covers = _Waivers(waivers, today or date.min, record.audit, policy.signed_waivers, frozenset(trusted))
    models = []
    for entry in record.models:
        found = (one for control in policy.controls for one in _find(control, entry.name, record, policy, known))
        findings = tuple(covers.on(finding) for finding in found)
        models.append(ModelVerdict(model=entry.name, status=_status(findings), findings=findings))
    uses = covers.uses()
    if not all(use.counts for use in uses):  # a list of waivers must not outlive its reasons
        models = [_failed(model) if model.model == record.candidate else model for model in models]
    return Verdict(
        policy=policy.name,
        policy_version=policy.version,
        record=record.digest(),
        candidate=record.candidate,
        models=tuple(models),
        judged=today if waivers else None,
        baseline=baseline,
        waivers=uses,
    )


def _failed(verdict: ModelVerdict) -> ModelVerdict:
    return verdict.model_copy(update={"status": Status.FAIL})


def worst(statuses: Iterable[Status]) -> Status:
    """Fail beats unproven beats pass; nothing tested is unproven, not a pass."""
    found = set(statuses)
    for status in (Status.FAIL, Status.UNPROVEN, Status.PASS):
        if status in found:
            return status
    return Status.UNPROVEN


def _status(findings: Iterable[Finding]) -> Status:
    """Of the findings that decide: waived ones count as met, and those that may stay unproven say nothing."""
    return worst(
        finding.status if finding.blocks else Status.PASS
        for finding in findings
        if finding.severity == "block" and (finding.blocks or finding.waiver or finding.status is Status.PASS)
    )


def hold(
    control: Control, outcome: Outcome, level: float, bound: float | None = None
) -> tuple[Status, float | None, str]:
    """Hold one outcome against one control that speaks of it.

    Args:
        control: its bound, and which end of an interval it tests.
        outcome: what was measured, or why nothing was.
        level: least confidence level of an interval that may prove anything.
        bound: the number, where the control names a parameter.

    Returns:
        Status, the number tested (None: there is none), and the reason in words.
    """
    if isinstance(outcome, NotMeasured):
        return Status.UNPROVEN, None, NOT_MEASURED + outcome.reason
    if isinstance(outcome, Measurement) and outcome.level < level - 1e-9:
        return Status.UNPROVEN, None, f"its interval has level {outcome.level:g}; the policy asks for {level:g}"
    at_least = control.at_least is not None
    limit = bound if bound is not None else float((control.at_least if at_least else control.at_most) or 0.0)

    def keeps(number: float) -> bool:
        return number >= limit if at_least else number <= limit

    if isinstance(outcome, Fact) or control.end == "value":
        status = Status.PASS if keeps(outcome.value) else Status.FAIL
        return status, outcome.value, f"is {_number(outcome.value)}"
    pessimistic, optimistic = (outcome.low, outcome.high) if at_least else (outcome.high, outcome.low)
    span = f"{_number(outcome.value)} [{_span(outcome)}], n = {outcome.n}"
    if pessimistic is not None and keeps(pessimistic):
        return Status.PASS, pessimistic, span
    if optimistic is not None and not keeps(optimistic):
        return Status.FAIL, optimistic, f"{span}: even its better end misses the bound"
    return Status.UNPROVEN, pessimistic, f"{span}: the interval holds the bound; not enough evidence"


def bound_of(control: Control, policy: Policy) -> str:
    """A control's bound in words.

    >>> from governance.policy import load_policy
    >>> launch = load_policy("launch")
    >>> bound_of(launch.controls[0], launch)
    'at least 0.85'
    """
    return f"{'at least' if control.at_least is not None else 'at most'} {_number(policy.bound(control))}"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _span(outcome: Measurement) -> str:
    low = "unbounded" if outcome.low is None else _number(outcome.low)
    high = "unbounded" if outcome.high is None else _number(outcome.high)
    return f"{low}, {high}"


class _Outcomes:
    """Outcomes by what a control must match exactly, so that a control never reads those of another."""

    def __init__(self, outcomes: Iterable[Outcome], incumbent: str | None, *, since: bool = False) -> None:
        self._incumbent = incumbent
        self.since = since  # whether there was a baseline
        self._at: Mapping[Place, dict[Slice, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
        for outcome in outcomes:
            place = (outcome.metric, outcome.model, getattr(outcome, "reference", None))
            self._at[place][outcome.slice].append(outcome)

    def of(self, control: Control, model: str) -> list[Outcome]:
        """What a control speaks of for a model, or for all models at once."""
        reference = self._incumbent if control.reference == "incumbent" else control.reference
        exact = None if control.slice == "any" or ANY in (control.slice or {}).values() else Slice.of(control.slice)
        found: list[Outcome] = []
        for name in (model, None):
            slices = self._at.get((control.metric, name, reference), {})
            wanted = [exact] if exact is not None else [where for where in slices if control.wants(where)]
            found += [one for where in wanted for one in slices.get(where, ()) if control.task in (None, one.task)]
        return found


def _find(control: Control, model: str, record: RunRecord, policy: Policy, known: _Outcomes) -> list[Finding]:
    """All findings of one control for one model; none where the control does not speak of the model."""
    bound = bound_of(control, policy)

    def finding(status: Status, tested: float | None, reason: str, of: Outcome | None = None) -> Finding:
        return Finding(
            control=control.id,
            model=model,
            status=status,
            severity=control.severity,
            unproven=control.unproven,
            metric=control.metric,
            task=control.task,
            slice=(of.slice if of else EVERYONE).label(),
            bound=bound,
            tested=tested,
            reason=reason,
        )

    if model == record.candidate and control.models not in ("all", "candidate"):
        strangers = sorted(set(control.models) - {entry.name for entry in record.models})
        if strangers:  # else a misspelt name would make the control vanish
            reason = f"the control names models that the record doesn't hold: {', '.join(strangers)}"
            return [finding(Status.UNPROVEN, None, reason)]
    if not _applies(control, model, record):
        return []
    if control.reference == "incumbent" and record.incumbent is None:
        return [finding(Status.UNPROVEN, None, "the config names no incumbent to compare with")]
    parameter = control.parameter
    if parameter is not None and not policy.parameters[parameter].confirmed:
        reason = f"nobody has confirmed the parameter '{parameter}': extend the policy and say by whom and since when"
        return [finding(Status.UNPROVEN, None, reason)]
    matching = known.of(control, model)
    if not matching:
        alone = control.since_baseline and not known.since
        since = " against a baseline; name one: --baseline RUN" if alone else ""
        return [finding(Status.UNPROVEN, None, f"the record holds no '{control.metric}' for this model{since}")]
    number = policy.bound(control)
    return [finding(*hold(control, one, policy.level, number), one) for one in matching]


def _applies(control: Control, model: str, record: RunRecord) -> bool:
    """Whether a control speaks of a model at all; no model is compared with itself."""
    reference = record.incumbent if control.reference == "incumbent" else control.reference
    if reference is not None and model == reference and not control.since_baseline:
        return False
    if control.models == "candidate":
        return model == record.candidate
    return control.models == "all" or model in control.models


@dataclass
class _Waivers:
    """The waivers of one judgement: which finding each covers, and what became of it."""

    given: Sequence[Waiver]
    today: date
    audit: str
    need_signature: bool
    trusted: frozenset[str]
    covered: dict[str, int] = field(default_factory=dict)

    def state(self, waiver: Waiver) -> WaiverState:
        if self.need_signature and waiver.id not in self.trusted:
            return WaiverState.UNSIGNED
        if self.today > waiver.expires:
            return WaiverState.EXPIRED
        return WaiverState.EARLY if self.today < waiver.granted else WaiverState.USED

    def on(self, finding: Finding) -> Finding:
        """The finding, with the waiver that covers it, if one does.

        Where several do, each has its use, and the first by its id is named: the order of the file decides nothing.
        """
        if not finding.blocks:
            return finding
        fitting = sorted(
            waiver.id
            for waiver in self.given
            if waiver.fits(finding, self.audit) and self.state(waiver) is WaiverState.USED
        )
        for name in fitting:
            self.covered[name] = self.covered.get(name, 0) + 1
        return finding.model_copy(update={"waiver": fitting[0]}) if fitting else finding

    def uses(self) -> tuple[WaiverUse, ...]:
        """All of them; one in force that covered nothing is unmatched."""
        found = []
        for waiver in self.given:
            state, count = self.state(waiver), self.covered.get(waiver.id, 0)
            state = WaiverState.UNMATCHED if state is WaiverState.USED and not count else state
            found.append(WaiverUse(waiver=waiver, state=state, findings=count))
        return tuple(found)
