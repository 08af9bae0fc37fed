"""What a policy says and what a judgement answers: controls, policies, findings, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from governance.measure import ANY, Outcome, Slice
from governance.policy.waivers import WaiverUse
from governance.vocabulary import since_baseline

BASELINE = "baseline"  # the reference of changes since an earlier run
Severity = Literal["block", "warn"]


class Status(StrEnum):
    """What is known about a control; `unproven` means not enough evidence, and blocks."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    UNPROVEN = "unproven"


EXIT_CODES: Mapping[Status, int] = {Status.PASS: 0, Status.FAIL: 1, Status.UNPROVEN: 3}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Reference(_Frozen):
    """A clause that a control answers to, and how we read it. Our reading; not legal advice."""

    clause: str = Field(min_length=1)  # "Art. 15(1)"
    reading: Mapping[str, str] = Field(default_factory=dict)  # language -> what we take it to ask for


class Uncovered(_Frozen):
    """A clause that no control of a pack answers to, and why."""

    clause: str = Field(min_length=1)
    why: Mapping[str, str]


class Parameter(_Frozen):
    """A number that the law or standard leaves to whoever applies it. Until somebody confirms it, it proves nothing.

    Attributes:
        value: in the unit of the controls that use it.
        says: what it is, per language.
        confirmed_by: who stands by the value.
        confirmed_on: since when.
    """

    value: float
    says: Mapping[str, str]
    confirmed_by: str | None = None
    confirmed_on: date | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Parameter:
        if (self.confirmed_by is None) != (self.confirmed_on is None):
            raise ValueError("expected confirmed_by and confirmed_on together: who stands by the value, and since when")
        return self

    @property
    def confirmed(self) -> bool:
        """Whether somebody stands by the value."""
        return self.confirmed_by is not None


class Control(_Frozen):
    """One sentence that a compliance officer would sign, and the bound that tests it.

    Attributes:
        says: the sentence, per language ("en", "zh").
        metric: name of the outcome that it tests.
        task: of the outcome; absent means any.
        slice: which slices: absent means everyone; "any" means every slice measured;
            a mapping must match column by column, "*" matching all values.
        models: "all", "candidate", or names.
        reference: for paired differences: "incumbent", "baseline" (an earlier run), or a model's name.
        at_least: lower bound, a number or a parameter's name; the interval's low end must reach it.
        at_most: upper bound; the interval's high end must keep it.
        end: "pessimistic" tests the interval's end, "value" the point figure.
        severity: "block" decides the verdict; "warn" is shown.
        unproven: what not enough evidence does where the control blocks: "block", or "warn" to be shown alone.
        why: the rationale, per language.
        references: clauses that it answers to.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=100)
    says: Mapping[str, str]
    metric: str
    task: str | None = Field(default=None, exclude_if=lambda task: task is None)
    slice: Literal["any"] | dict[str, str] | None = None
    models: Literal["all", "candidate"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    reference: str | None = None
    at_least: float | str | None = None
    at_most: float | str | None = None
    end: Literal["pessimistic", "value"] = "pessimistic"
    severity: Severity = "block"
    unproven: Severity = Field(default="block", exclude_if=lambda unproven: unproven == "block")
    why: Mapping[str, str] = Field(default_factory=dict)
    references: tuple[Reference, ...] = Field(default=(), exclude_if=lambda references: not references)

    @field_validator("at_least", "at_most", mode="before")
    @classmethod
    def _number(cls, given: object) -> object:
        """YAML 1.1 takes 1e-5 for text and yes for true: the first is a number, the second is none."""
        if isinstance(given, bool):
            raise ValueError("expected a number, or the name of a parameter")  # noqa: TRY004 - pydantic's
        try:
            return float(given) if isinstance(given, str) else given
        except ValueError:
            return given

    @model_validator(mode="after")
    def _one_bound(self) -> Control:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("expected exactly one of at_least and at_most")
        if "en" not in self.says:
            raise ValueError("expected a sentence in English under says.en")
        return self

    @property
    def since_baseline(self) -> bool:
        """Whether it speaks of what changed since an earlier run; a model may be called "baseline" too."""
        return self.reference == BASELINE and since_baseline(self.metric)

    @property
    def parameter(self) -> str | None:
        """The parameter that the bound is taken from, if it is not a number."""
        bound = self.at_least if self.at_least is not None else self.at_most
        return bound if isinstance(bound, str) else None

    def wants(self, slice_: Slice) -> bool:
        """Whether the control speaks of a slice."""
        if self.slice == "any":
            return True
        wanted = self.slice or {}
        have = dict(slice_)
        return wanted.keys() == have.keys() and all(v in (ANY, have[k]) for k, v in wanted.items())

    def matches(self, outcome: Outcome, *, incumbent: str | None) -> bool:
        """Whether this control speaks of that outcome, its model aside."""
        reference = incumbent if self.reference == "incumbent" else self.reference
        return (
            outcome.metric == self.metric
            and getattr(outcome, "reference", None) == reference
            and self.task in (None, outcome.task)
            and self.wants(outcome.slice)
        )


class Policy(_Frozen):
    """A named, dated set of controls; all blocking ones must pass.

    Attributes:
        level: least confidence level of an interval that may prove anything.
        dated: when its text was last held against its sources.
        source: what it reads, with a place to find it: laws and standards by their own names.
        reading: the sentence that this is our reading and not legal advice, per language; for packs.
        parameters: numbers that a user confirms, by name.
        not_covered: clauses of the source that no control answers to.
        without: controls of the policies that this one extends, left out: id -> reason.
        built_on: policies that this one extends, as "name version".
        signed_waivers: whether a waiver counts only with a signature of a known key.
    """

    name: str
    version: str
    title: Mapping[str, str]
    level: float = Field(default=0.95, gt=0, lt=1)
    dated: date | None = Field(default=None, exclude_if=lambda dated: dated is None)
    source: str | None = Field(default=None, exclude_if=lambda source: source is None)
    reading: Mapping[str, str] = Field(default_factory=dict, exclude_if=lambda reading: not reading)
    parameters: Mapping[str, Parameter] = Field(default_factory=dict, exclude_if=lambda given: not given)
    not_covered: tuple[Uncovered, ...] = Field(default=(), exclude_if=lambda clauses: not clauses)
    without: Mapping[str, str] = Field(default_factory=dict, exclude_if=lambda without: not without)
    built_on: tuple[str, ...] = Field(default=(), exclude_if=lambda built_on: not built_on)
    signed_waivers: bool = Field(default=False, exclude_if=lambda signed: not signed)
    controls: tuple[Control, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Policy:
        seen: set[str] = set()
        for control in self.controls:
            if control.id in seen:
                raise ValueError(f"control '{control.id}' stands twice")
            seen.add(control.id)
            if control.parameter is not None and control.parameter not in self.parameters:
                known = ", ".join(sorted(self.parameters)) or "none"
                raise ValueError(f"control '{control.id}': no parameter '{control.parameter}'. Known: {known}.")
        return self

    def bound(self, control: Control) -> float:
        """The number that a control's outcome is held against."""
        bound = control.at_least if control.at_least is not None else control.at_most
        return self.parameters[bound].value if isinstance(bound, str) else float(bound or 0.0)


class Finding(_Frozen):
    """One control tested on one outcome of one model."""

    control: str
    model: str
    status: Status
    severity: Severity
    unproven: Severity = Field(default="block", exclude_if=lambda unproven: unproven == "block")
    metric: str
    task: str | None = Field(default=None, exclude_if=lambda task: task is None)
    slice: str
    bound: str  # "at least 0.8"
    tested: float | None  # the number held against the bound
    reason: str
    waiver: str | None = Field(default=None, exclude_if=lambda waiver: waiver is None)  # id of the one that covers it

    @property
    def blocks(self) -> bool:
        """Whether this finding keeps its model from passing."""
        if self.severity == "warn" or self.waiver is not None or self.status is Status.PASS:
            return False
        return self.status is Status.FAIL or self.unproven == "block"


class ModelVerdict(_Frozen):
    """One model's findings and what they add up to."""

    model: str
    status: Status
    findings: tuple[Finding, ...]


class Verdict(_Frozen):
    """The audit's conclusion; its exit code is the candidate's.

    Attributes:
        judged: the day, which decides what has expired. None: no waiver was held against it.
        baseline: digest of the earlier record that changes were measured from.
        waivers: every waiver that was given, and what became of it.
    """

    policy: str
    policy_version: str
    record: str  # digest of the record judged
    candidate: str
    models: tuple[ModelVerdict, ...]
    judged: date | None = Field(default=None, exclude_if=lambda judged: judged is None)
    baseline: str | None = Field(default=None, exclude_if=lambda baseline: baseline is None)
    waivers: tuple[WaiverUse, ...] = Field(default=(), exclude_if=lambda waivers: not waivers)

    @property
    def status(self) -> Status:
        """The candidate's status; `judge` has failed it where a waiver may not be used."""
        return self.of(self.candidate).status

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 unproven."""
        return EXIT_CODES[self.status]

    def of(self, model: str) -> ModelVerdict:
        """One model's verdict."""
        return next(verdict for verdict in self.models if verdict.model == model)

    def finds(self, control: str) -> tuple[Finding, ...]:
        """What one control found about the candidate."""
        return tuple(finding for finding in self.of(self.candidate).findings if finding.control == control)
