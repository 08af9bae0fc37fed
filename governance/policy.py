"""Policy as code: controls on the pessimistic end of an interval, and a verdict with three values.

`judge(record, policy)` is pure, so an auditor judges a year-old record again without running anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.measure import ANY, Fact, Measurement, NotMeasured, Outcome, Slice
from governance.record import RunRecord


class Status(StrEnum):
    """What is known about a control; `unproven` means not enough evidence, and blocks."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNPROVEN = "unproven"


EXIT_CODES: Mapping[Status, int] = {Status.PASS: 0, Status.FAIL: 1, Status.UNPROVEN: 3}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Control(_Frozen):
    """One sentence that a compliance officer would sign, and the bound that tests it.

    Attributes:
        says: the sentence, per language ("en", "zh").
        metric: name of the outcome that it tests.
        slice: which slices: absent means everyone; "any" means every slice measured;
            a mapping must match column by column, "*" matching all values.
        models: "all", "candidate", or names.
        reference: for paired differences: "incumbent" or a model's name.
        at_least: lower bound; the interval's low end must reach it.
        at_most: upper bound; the interval's high end must keep it.
        end: "pessimistic" tests the interval's end, "value" the point figure.
        severity: "block" decides the verdict; "warn" is shown.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    says: Mapping[str, str]
    metric: str
    slice: Literal["any"] | dict[str, str] | None = None
    models: Literal["all", "candidate"] | tuple[str, ...] = "all"
    reference: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    end: Literal["pessimistic", "value"] = "pessimistic"
    severity: Literal["block", "warn"] = "block"
    why: Mapping[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_bound(self) -> Control:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected exactly one of at_least and at_most")
        if "en" not in self.says:
            raise ValueError("expected a sentence in English under says.en")
        return self

    def matches(self, outcome: Outcome, *, incumbent: str | None) -> bool:
        """Whether this control speaks of that outcome, its model aside."""
        reference = incumbent if self.reference == "incumbent" else self.reference
        if outcome.metric != self.metric or getattr(outcome, "reference", None) != reference:
            return False
        if self.slice == "any":
            return True
        wanted = self.slice or {}
        have = dict(outcome.slice)
        return wanted.keys() == have.keys() and all(v in (ANY, have[k]) for k, v in wanted.items())


class Policy(_Frozen):
    """A named, dated set of controls; all blocking ones must pass."""

    name: str
    version: str
    title: Mapping[str, str]
    level: float = Field(default=0.95, gt=0, lt=1)  # least confidence level of an interval that may prove anything
    controls: tuple[Control, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Policy:
        seen: set[str] = set()
        for control in self.controls:
            if control.id in seen:
                raise ValueError(f"control '{control.id}' stands twice")
            seen.add(control.id)
        return self


class Finding(_Frozen):
    """One control tested on one outcome of one model."""

    control: str
    model: str
    status: Status
    severity: Literal["block", "warn"]
    metric: str
    slice: str
    bound: str  # "at least 0.8"
    tested: float | None  # the number held against the bound
    reason: str


class ModelVerdict(_Frozen):
    """One model's findings and what they add up to."""

    model: str
    status: Status
    findings: tuple[Finding, ...]


class Verdict(_Frozen):
    """The audit's conclusion; its exit code is the candidate's."""

    policy: str
    policy_version: str
    record: str  # digest of the record judged
    candidate: str
    models: tuple[ModelVerdict, ...]

    @property
    def status(self) -> Status:
        """The candidate's status."""
        return self.of(self.candidate).status

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 unproven."""
        return EXIT_CODES[self.status]

    def of(self, model: str) -> ModelVerdict:
        """One model's verdict."""
        return next(verdict for verdict in self.models if verdict.model == model)


def worst(statuses: Iterable[Status]) -> Status:
    """Fail beats unproven beats pass; nothing tested is unproven, not a pass."""
    found = set(statuses)
    for status in (Status.FAIL, Status.UNPROVEN, Status.PASS):
        if status in found:
            return status
    return Status.UNPROVEN


def _number(value: float) -> str:
    return f"{value:.4g}"


def hold(control: Control, outcome: Outcome, level: float) -> tuple[Status, float | None, str]:
    """Hold one outcome against one control that speaks of it.

    Args:
        control: its bound, and which end of an interval it tests.
        outcome: what was measured, or why nothing was.
        level: least confidence level of an interval that may prove anything.

    Returns:
        Status, the number tested (None: there is none), and the reason in words.
    """
    if isinstance(outcome, NotMeasured):
        return Status.UNPROVEN, None, f"not measured: {outcome.reason}"
    if isinstance(outcome, Measurement) and outcome.level < level - 1e-9:
        return Status.UNPROVEN, None, f"its interval has level {outcome.level:g}; the policy asks for {level:g}"
    at_least = control.at_least is not None
    bound = control.at_least if control.at_least is not None else control.at_most
    assert bound is not None  # noqa: S101 - the model validator saw to it

    def keeps(number: float) -> bool:
        return number >= bound if at_least else number <= bound

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


def _span(outcome: Measurement) -> str:
    low = "unbounded" if outcome.low is None else _number(outcome.low)
    high = "unbounded" if outcome.high is None else _number(outcome.high)
    return f"{low}, {high}"


def _find(control: Control, model: str, record: RunRecord, level: float) -> list[Finding]:
    """All findings of one control for one model; none where the control does not speak of the model."""
    if control.models == "candidate":
        applies = model == record.candidate
    else:
        applies = control.models == "all" or model in control.models
    reference = record.incumbent if control.reference == "incumbent" else control.reference
    bound = f"at least {_number(control.at_least)}" if control.at_least is not None else ""
    bound = bound or f"at most {_number(control.at_most or 0.0)}"

    def finding(status: Status, tested: float | None, reason: str, where: Slice) -> Finding:
        return Finding(
            control=control.id,
            model=model,
            status=status,
            severity=control.severity,
            metric=control.metric,
            slice=where.label(),
            bound=bound,
            tested=tested,
            reason=reason,
        )

    if model == record.candidate and control.models not in ("all", "candidate"):
        strangers = sorted(set(control.models) - {entry.name for entry in record.models})
        if strangers:  # else a misspelt name would make the control vanish
            reason = f"the control names models that the record doesn't hold: {', '.join(strangers)}"
            return [finding(Status.UNPROVEN, None, reason, Slice())]
    if not applies or (control.reference is not None and model == reference):
        return []  # a model is not compared with itself
    if control.reference == "incumbent" and record.incumbent is None:
        return [finding(Status.UNPROVEN, None, "the config names no incumbent to compare with", Slice())]
    matching = [
        outcome
        for outcome in record.outcomes
        if outcome.model in (model, None) and control.matches(outcome, incumbent=record.incumbent)
    ]
    if not matching:
        return [finding(Status.UNPROVEN, None, f"the record holds no '{control.metric}' for this model", Slice())]
    return [finding(*hold(control, outcome, level), outcome.slice) for outcome in matching]


def judge(record: RunRecord, policy: Policy) -> Verdict:
    """Hold a record against a policy. Pure: the same two give the same verdict, always.

    Every model gets a verdict from its blocking findings; all must pass, which needs no
    correction for multiplicity.
    """
    models = []
    for entry in record.models:
        findings = tuple(
            finding for control in policy.controls for finding in _find(control, entry.name, record, policy.level)
        )
        status = worst(finding.status for finding in findings if finding.severity == "block")
        models.append(ModelVerdict(model=entry.name, status=status, findings=findings))
    return Verdict(
        policy=policy.name,
        policy_version=policy.version,
        record=record.digest(),
        candidate=record.candidate,
        models=tuple(models),
    )


def load_policy(source: Path | str, *, base: Path = Path()) -> Policy:
    """Read a policy: a path (relative ones start from `base`), or the name of one that ships ("launch").

    Raises:
        ConfigError: unreadable, or not a policy; the message names file and key.
    """
    from governance.configfile import find, read

    return read(Policy, find("policies", str(source), base))
