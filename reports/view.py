"""What every renderer asks of a record: its figures by name, its controls with their evidence.

Nothing here computes a figure: it selects, orders, counts statuses, and puts into words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from governance.decision import Decision, Profile, decide
from governance.errors import RecordError
from governance.measure import EVERYONE, NotMeasured, Outcome, Slice, Unit
from governance.policy import Control, Finding, Policy, Status, Verdict, WaiverUse
from governance.record import ModelEntry, RunRecord
from reports.findings import ORDER, ControlView, Standing, control_view, standing
from reports.text import Texts, clean


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model as the reports name it.

    Attributes:
        label: its name, with a dagger if a note belongs beside it wherever it appears.
        slug: a safe file name and anchor, unique in the record.
        mark: its place in the record; decides colour and shape in charts.
        counts: blocking controls by what they come to.
    """

    entry: ModelEntry
    label: str
    note: str | None
    slug: str
    mark: int
    status: Status
    counts: dict[Standing, int]
    candidate: bool
    incumbent: bool

    @property
    def name(self) -> str:
        """Its name in the record; hostile."""
        return self.entry.name


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
        self.changes = tuple(changes)
        self._index: dict[tuple[str, str | None], list[Outcome]] = defaultdict(list)
        self._labelled: dict[tuple[str, str | None, str], list[Outcome]] = defaultdict(list)
        for outcome in (*record.outcomes, *changes):
            self._index[outcome.metric, outcome.model].append(outcome)
            self._labelled[outcome.metric, outcome.model, outcome.slice.label()].append(outcome)
        self.waivers = {use.waiver.id: use for use in verdict.waivers}
        self.models = self._models()
        self._by_name = {model.name: model for model in self.models}
        self.controls = self._controls()

    @cached_property
    def decision(self) -> Decision:
        """What the record says for and against each model."""
        return decide(self.record)

    def profile(self, name: str) -> Profile:
        """What it says of one model."""
        return next(profile for profile in self.decision.profiles if profile.model == name)

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

    def labelled(self, finding: Finding, control: Control) -> list[Outcome]:
        """The outcomes that a finding may speak of: its metric, slice and model, or all models at once."""
        found = [self._labelled.get((finding.metric, name, finding.slice), ()) for name in (finding.model, None)]
        incumbent = self.record.incumbent
        return [o for outcomes in found for o in outcomes if control.matches(o, incumbent=incumbent)]

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

    def standing_at(self, *standings: Standing) -> list[ControlView]:
        """The candidate's blocking controls that come to one of these."""
        return [item for item in self.controls if item.blocks and item.standing in standings]

    @property
    def warnings(self) -> list[ControlView]:
        """The candidate's controls that are not met and do not block, for their severity or for being unproven."""
        warned = [item for item in self.controls if not item.blocks and item.status in {Status.FAIL, Status.UNPROVEN}]
        return [*self.standing_at(Standing.SHOWN), *warned]

    @property
    def bad_waivers(self) -> list[WaiverUse]:
        """Waivers that fail the gate."""
        return [use for use in self.verdict.waivers if not use.counts]

    @property
    def conclusion(self) -> str:
        """Why the verdict is what it is: the key of the sentence that says so."""
        status = self.verdict.status
        if status is Status.FAIL:
            return "fail" if self.standing_at(Standing.FAIL) else "waivers"
        if status is Status.UNPROVEN:
            return "unproven" if self.standing_at(Standing.UNPROVEN) else "nothing"
        if self.standing_at(Standing.WAIVED):
            return "waived"
        return "shown" if self.standing_at(Standing.SHOWN) else "pass"

    def _models(self) -> tuple[ModelView, ...]:
        views, taken = [], {"data"}  # card/data.md is the data's
        for mark, entry in enumerate(self.record.models):
            verdict = self.verdict.of(entry.name)
            note = clean(self.texts.said(entry.note), 160) if entry.note else None
            label = clean(entry.name, 40)
            views.append(
                ModelView(
                    entry=entry,
                    label=f"{label} †" if note else label,
                    note=note,
                    slug=slug(entry.name, taken),
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
        views = [control_view(self, control, found[control.id]) for control in self.policy.controls]
        return tuple(sorted(views, key=_urgency))

    def value(self, outcome: Outcome | None) -> str:
        """The number alone, or a dash."""
        if outcome is None or isinstance(outcome, NotMeasured):
            return self.texts("missing")
        return self.texts.value(outcome)


_RANK = {Standing.FAIL: 0, Standing.UNPROVEN: 1, Standing.WAIVED: 2, Standing.SHOWN: 3}


def _urgency(control: ControlView) -> tuple[int, int]:
    """Blocking trouble, what is waived or may stay open, warnings, what passes, what doesn't speak of the candidate."""
    if control.status is None:
        return 6, 0
    if control.status is Status.PASS:
        return 5, not control.blocks
    return (_RANK[control.standing or Standing.SHOWN], 0) if control.blocks else (4, ORDER[control.status])


def _count(findings: Iterable[Finding]) -> dict[Standing, int]:
    """Blocking controls by what they come to: a control with ten slices counts once."""
    grouped: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.severity == "block":
            grouped[finding.control].append(finding)
    counts = Counter(standing(found) for found in grouped.values())
    return {one: counts[one] for one in Standing}


def slug(name: str, taken: set[str]) -> str:
    """A file name that can't leave its folder, hide, or stand for another model's."""
    stem = re.sub(r"[^a-z0-9]+", "-", name[:200].lower()).strip("-")[:60] or "model"
    slug, turn = stem, 2
    while slug in taken:
        slug, turn = f"{stem}-{turn}", turn + 1
    taken.add(slug)
    return slug
