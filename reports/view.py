"""What every renderer asks of a record: its figures by name, its controls with their evidence.

Nothing here computes a figure: it selects, orders, counts statuses, and puts into words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from governance.errors import RecordError
from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Finding, Policy, Status, Verdict, worst
from governance.record import ModelEntry, RunRecord
from reports.text import Metric, Texts, clean

ORDER = {Status.FAIL: 0, Status.UNPROVEN: 1, Status.PASS: 2}
"""Worst first: what a reader must see before anything else."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as the reports name it.

    Attributes:
        label: its name, with a dagger if a note belongs beside it wherever it appears.
        slug: a safe file name and anchor, unique in the record.
        mark: its place in the record; decides colour and shape in charts.
        counts: blocking controls by status.
    """

    entry: ModelEntry
    label: str
    note: str | None
    slug: str
    mark: int
    status: Status
    counts: dict[Status, int]
    candidate: bool
    incumbent: bool

    @property
    def name(self) -> str:
        """Its name in the record; hostile."""
        return self.entry.name


@dataclass(frozen=True, slots=True)
class Evidence:
    """One finding and the outcome behind it, in words."""

    finding: Finding
    outcome: Outcome | None
    model: ModelView
    where: str
    figure: str
    full: str  # figure and interval in one
    interval: str
    n: str
    method: str
    reason: str


@dataclass(frozen=True, slots=True)
class ControlView:
    """One control over all models; `statuses` holds the worst finding per model it speaks of."""

    control: Control
    metric: Metric
    says: str
    why: str
    bound: str
    status: Status | None  # the candidate's; None: it doesn't speak of the candidate
    statuses: dict[str, Status]
    evidence: tuple[Evidence, ...]

    @property
    def blocks(self) -> bool:
        """Whether it decides the verdict."""
        return self.control.severity == "block"

    def unmet(self, model: str) -> int:
        """How many of one model's findings do not pass."""
        return sum(item.finding.status is not Status.PASS for item in self.of(model))

    def of(self, model: str) -> list[Evidence]:
        """One model's findings, worst first."""
        return [item for item in self.evidence if item.finding.model == model]


class View:
    """A judged record, ready to be told in one language.

    Raises:
        RecordError: the verdict is of another record or policy.
    """

    def __init__(
        self, record: RunRecord, verdict: Verdict, policy: Policy, texts: Texts, changes: Sequence[Outcome] = ()
    ) -> None:
        if verdict.record != record.digest():
            raise RecordError("the verdict was reached on another record; judge this one first")
        if (verdict.policy, verdict.policy_version) != (policy.name, policy.version):
            raise RecordError(
                f"the verdict follows policy {verdict.policy} {verdict.policy_version}, not the one given"
            )
        self.record, self.verdict, self.policy, self.texts = record, verdict, policy, texts
        self._index: dict[tuple[str, str | None], list[Outcome]] = defaultdict(list)
        for outcome in (*record.outcomes, *changes):
            self._index[outcome.metric, outcome.model].append(outcome)
        self.models = self._models()
        self._by_name = {model.name: model for model in self.models}
        self.controls = self._controls()

    @property
    def candidate(self) -> ModelView:
        """The model that the verdict is about."""
        return self._by_name[self.record.candidate]

    @property
    def incumbent(self) -> ModelView | None:
        """The system to beat."""
        return self._by_name.get(self.record.incumbent or "")

    def model(self, name: str) -> ModelView | None:
        """One model's view; None for a name that the record doesn't list."""
        return self._by_name.get(name)

    @property
    def charted(self) -> list[ModelView]:
        """All models, the candidate first: the order of every table and chart."""
        return sorted(self.models, key=lambda model: (not model.candidate, model.mark))

    def find(
        self, metric: str, model: str | None, where: Slice = EVERYONE, *, reference: str | None = None
    ) -> Outcome | None:
        """The outcome of that name, or None."""
        for outcome in self._index.get((metric, model), ()):
            if outcome.slice == where and getattr(outcome, "reference", None) == reference:
                return outcome
        return None

    def all(self, metric: str, model: str | None) -> Sequence[Outcome]:
        """Every outcome of one metric and model."""
        return self._index.get((metric, model), ())

    def controls_on(self, metric: str, *, reference: str | None = None) -> list[Control]:
        """The controls that test a metric."""
        incumbent = self.record.incumbent

        def resolved(control: Control) -> str | None:
            return incumbent if control.reference == "incumbent" else control.reference

        return [item for item in self.policy.controls if item.metric == metric and resolved(item) == reference]

    def unit_of(self, metric: str) -> Unit | None:
        """The unit in which a metric is told, from the first outcome that has one."""
        for (name, _), outcomes in self._index.items():
            for outcome in outcomes if name == metric else ():
                if not isinstance(outcome, NotMeasured):
                    return outcome.unit
        return None

    def blocking(self, status: Status) -> list[ControlView]:
        """The candidate's blocking controls of one status."""
        return [item for item in self.controls if item.blocks and item.status is status]

    @property
    def warnings(self) -> list[ControlView]:
        """The candidate's warning controls that are not met."""
        return [item for item in self.controls if not item.blocks and item.status in {Status.FAIL, Status.UNPROVEN}]

    def _models(self) -> tuple[ModelView, ...]:
        views, taken = [], set[str]()
        for mark, entry in enumerate(self.record.models):
            verdict = self.verdict.of(entry.name)
            note = clean(self.texts.said(entry.note), 160) if entry.note else None
            label = clean(entry.name, 40)
            views.append(
                ModelView(
                    entry=entry,
                    label=f"{label} †" if note else label,
                    note=note,
                    slug=_slug(entry.name, taken),
                    mark=mark,
                    status=verdict.status,
                    counts=_count(verdict.findings),
                    candidate=entry.name == self.record.candidate,
                    incumbent=entry.name == self.record.incumbent,
                )
            )
        return tuple(views)

    def _controls(self) -> tuple[ControlView, ...]:
        found: dict[str, list[Finding]] = defaultdict(list)
        for verdict in self.verdict.models:
            for finding in verdict.findings:
                found[finding.control].append(finding)
        views = [self._control(control, found[control.id]) for control in self.policy.controls]
        return tuple(sorted(views, key=_urgency))

    def _control(self, control: Control, findings: list[Finding]) -> ControlView:
        statuses = {
            model.name: worst(finding.status for finding in findings if finding.model == model.name)
            for model in self.charted
            if any(finding.model == model.name for finding in findings)
        }
        evidence = [self._evidence(control, finding) for finding in findings]
        rank = {model.name: place for place, model in enumerate(self.charted)}
        evidence.sort(key=lambda item: (rank[item.finding.model], ORDER[item.finding.status]))
        reference = self.record.incumbent if control.reference == "incumbent" else control.reference
        limit = self.policy.bound(control)
        key = "bound.at_least" if control.at_least is not None else "bound.at_most"
        number = self.texts.bound(limit, self.unit_of(control.metric), control.metric)
        return ControlView(
            control=control,
            metric=self.texts.metric(control.metric, reference=reference),
            says=self.texts.says(control.says),
            why=self.texts.says(control.why),
            bound=self.texts(key, bound=number),
            status=statuses.get(self.record.candidate),
            statuses=statuses,
            evidence=tuple(evidence),
        )

    def _evidence(self, control: Control, finding: Finding) -> Evidence:
        model = self._by_name[finding.model]
        incumbent = self.record.incumbent
        candidates = [*self.all(finding.metric, finding.model), *self.all(finding.metric, None)]
        outcome = next(
            (o for o in candidates if o.slice.label() == finding.slice and control.matches(o, incumbent=incumbent)),
            None,
        )
        return Evidence(
            finding=finding,
            outcome=outcome,
            model=model,
            where=self.texts.slice(outcome.slice) if outcome else clean(finding.slice),
            figure=self.value(outcome),
            full=self.texts.figure(outcome) if isinstance(outcome, Measurement | Fact) else self.value(outcome),
            interval=self.texts.interval(outcome) if isinstance(outcome, Measurement) else "",
            n=self.texts.count(outcome.n) if isinstance(outcome, Measurement) else "",
            method=self.texts.said(outcome.method) if isinstance(outcome, Measurement | Fact) else "",
            reason=self._reason(control, finding, outcome),
        )

    def value(self, outcome: Outcome | None) -> str:
        """The number alone, or a dash."""
        if outcome is None or isinstance(outcome, NotMeasured):
            return self.texts("missing")
        return self.texts.value(outcome)

    def _reason(self, control: Control, finding: Finding, outcome: Outcome | None) -> str:
        """The policy's reason in the reader's language; the policy itself speaks English."""
        if isinstance(outcome, NotMeasured):
            return self.texts("reason.not_measured", reason=clean(self.texts.said(outcome.reason)))
        if outcome is None:
            return self.texts("reason.absent", metric=clean(finding.metric, 80))
        kind = "interval" if isinstance(outcome, Measurement) and control.end == "pessimistic" else "value"
        return self.texts(f"reason.{kind}.{finding.status.value}")


def _urgency(control: ControlView) -> tuple[int, int]:
    """Blocking trouble, then warnings, then what passes, then what doesn't speak of the candidate."""
    if control.status is None:
        return 3, 0
    if control.status is Status.PASS:
        return 2, not control.blocks
    return not control.blocks, ORDER[control.status]


def _count(findings: Iterable[Finding]) -> dict[Status, int]:
    """Blocking controls by their worst finding: a control with ten slices counts once."""
    grouped: dict[str, list[Status]] = defaultdict(list)
    for finding in findings:
        if finding.severity == "block":
            grouped[finding.control].append(finding.status)
    counts = Counter(worst(statuses) for statuses in grouped.values())
    return {status: counts[status] for status in ORDER}


def _slug(name: str, taken: set[str]) -> str:
    """A file name that can't leave its folder, hide, or stand for another model's."""
    stem = re.sub(r"[^a-z0-9]+", "-", name[:200].lower()).strip("-")[:60] or "model"
    slug, turn = stem, 2
    while slug in taken:
        slug, turn = f"{stem}-{turn}", turn + 1
    taken.add(slug)
    return slug
