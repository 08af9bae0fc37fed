"""What differs between two judged runs, as plain pairs of then and now. It selects and lays side by side."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from pydantic import BaseModel

from governance.measure import EVERYONE, Fact, Measurement, NotMeasured
from governance.policy import Status, WaiverUse
from governance.record import ModelEntry
from governance.vocabulary import CHANGE, DRIFT
from reports.findings import ControlView, Evidence, Standing
from reports.text import LIMIT
from reports.view import ModelView, View

Scalar: TypeAlias = str | int | float | bool
Change: TypeAlias = Measurement | Fact
Key: TypeAlias = tuple[Any, ...]
Found: TypeAlias = tuple[ControlView, Evidence]

RUN = ("audit", "title", "question", "candidate", "incumbent", "requests_per_month")
"""Of a record itself."""
UNTOLD = {
    "data": frozenset({"statistics"}),  # drift tells of them, with intervals
    "model": frozenset({"name", "curve", "claim.curve"}),  # the curve of a private training is private
    "lineage": frozenset({"plan"}),  # differs wherever anything does
}
_NUMBER = re.compile(r"\d+")
_RANK = {Standing.FAIL: 0, Standing.UNPROVEN: 1, Standing.WAIVED: 2, Standing.SHOWN: 3, Standing.PASS: 4, None: 5}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that the two runs say differently.

    Attributes:
        part: "run", "policy", "data", "model" or "lineage".
        field: of that part.
        name: what of a field that holds several, such as a class; hostile.
        before: None: nothing there.
        now: None: nothing there.
    """

    part: str
    field: str
    name: str
    before: Scalar | None
    now: Scalar | None


@dataclass(frozen=True, slots=True)
class ModelDifference:
    """One model in either run; None: that run has no such model."""

    before: ModelView | None
    now: ModelView | None
    differences: tuple[Difference, ...]

    @property
    def told(self) -> ModelView:
        """As the later run has it, if it does."""
        found = self.now or self.before
        assert found is not None  # noqa: S101 - it is of one of the two
        return found


@dataclass(frozen=True, slots=True)
class Turn:
    """A control that found something else about a model's slice than it did then.

    Attributes:
        before: None: nothing was tested there.
        now: None: nothing is tested there.
        reason: of what was found last.
    """

    model: ModelView
    control: ControlView
    where: str
    before: Standing | None
    now: Standing | None
    reason: str


@dataclass(frozen=True)
class Compared:
    """Two judged runs; the later one's view holds what changed since.

    Attributes:
        before: the earlier run.
        now: the later one; its `changes` are those since the earlier.
        pairs: name of each model of the later run -> of the earlier run's that it is compared with.
    """

    before: View
    now: View
    pairs: Mapping[str, str | None]

    @cached_property
    def models(self) -> list[ModelDifference]:
        """All models of both runs, the candidate first."""
        found = []
        for model in self.now.charted:
            other = self.before.model(self.pairs.get(model.name) or "")
            mine = _flat(model.entry, "model")
            theirs = {} if other is None else _flat(other.entry, "model")
            differences = tuple(_differing("model", theirs, mine)) if other is not None else ()
            found.append(ModelDifference(other, model, differences))
        matched = set(self.pairs.values())
        gone = [ModelDifference(model, None, ()) for model in self.before.charted if model.name not in matched]
        return found + gone

    @cached_property
    def data(self) -> list[Difference]:
        """What was audited."""
        before, now = (_flat(view.record.data, "data") for view in (self.before, self.now))
        return list(_differing("data", before, now))

    @cached_property
    def settings(self) -> list[Difference]:
        """How it was audited, and by what it was judged."""
        parts: list[tuple[str, list[dict[tuple[str, str], Scalar]]]] = []
        views = (self.before, self.now)
        parts.append(("run", [_leaves(view.record.model_dump(mode="json", include=set(RUN))) for view in views]))
        parts.append(("policy", [{("policy", ""): f"{v.policy.name} {v.policy.version}"} for v in views]))
        parts.append(("lineage", [_flat(view.record.lineage, "lineage") for view in views]))
        return [one for part, (before, now) in parts for one in _differing(part, before, now)]

    @cached_property
    def turns(self) -> list[Turn]:
        """Findings that differ: the candidate's first, then what blocks, then the worst."""
        then, now = dict(_evidence(self.before)), dict(_evidence(self.now))
        met, turns = set[Key](), list[Turn | None]()
        for (control, model, *rest), told in now.items():
            key = (control, self.pairs.get(model), *rest)
            met.add(key)
            turns.append(_turn(then.get(key), told))
        turns += [_turn(told, None) for key, told in then.items() if key not in met]
        found = [one for one in turns if one is not None]
        return sorted(found, key=lambda one: (not one.model.candidate, not one.control.blocks, _RANK[one.now]))

    @cached_property
    def waivers(self) -> list[tuple[WaiverUse | None, WaiverUse | None]]:
        """Waivers that are new, gone, changed or come to something else."""
        before, now = (dict(view.waivers) for view in (self.before, self.now))
        pairs = [(before.get(name), now.get(name)) for name in dict.fromkeys((*now, *before))]
        return [pair for pair in pairs if pair[0] != pair[1]]

    @cached_property
    def figures(self) -> list[Change]:
        """Every change that has a number, drift aside: the candidate's first, then those of all rows."""
        found = [one for one in self._changes(drift=False) if not isinstance(one, NotMeasured)]
        candidate = self.now.record.candidate
        return sorted(found, key=lambda one: (one.model not in (candidate, None), one.slice != EVERYONE))

    @property
    def certain(self) -> list[Change]:
        """Those that changed for certain."""
        return [one for one in self.figures if certain(one)]

    @cached_property
    def drift(self) -> list[Measurement | Fact | NotMeasured]:
        """How far the inputs have moved."""
        return self._changes(drift=True)

    @cached_property
    def gone(self) -> list[list[NotMeasured]]:
        """What could not be compared, by reason whatever its numbers are, the commonest first."""
        found: dict[str, list[NotMeasured]] = {}
        for one in self.now.changes:
            if isinstance(one, NotMeasured):
                found.setdefault(_NUMBER.sub("0", one.reason[:LIMIT]), []).append(one)
        return sorted(found.values(), key=len, reverse=True)

    @property
    def verdict(self) -> tuple[Status, Status]:
        """The candidate's, then and now."""
        return self.before.verdict.status, self.now.verdict.status

    @property
    def unchanged(self) -> bool:
        """Whether nothing is known to have changed."""
        models = any(one.differences or one.before is None or one.now is None for one in self.models)
        return not (models or self.data or self.settings or self.turns or self.waivers or self.certain)

    def _changes(self, *, drift: bool) -> list[Measurement | Fact | NotMeasured]:
        return [one for one in self.now.changes if one.metric.startswith(DRIFT) == drift]

    def side(self, change: Change, view: View) -> str:
        """What one of the runs reports of a figure."""
        name = change.model if view is self.now else self.pairs.get(change.model or "")
        return view.value(view.find(change.metric.removesuffix(CHANGE), name, change.slice))


def certain(change: Change) -> bool:
    """Whether a figure changed beyond what its interval leaves open."""
    if isinstance(change, Fact):
        return change.value != 0
    return (change.low is not None and change.low > 0) or (change.high is not None and change.high < 0)


def state(item: Evidence) -> Standing:
    """What one finding comes to."""
    return Standing.WAIVED if item.waived else Standing(item.finding.status.value)


def _turn(before: Found | None, now: Found | None) -> Turn | None:
    """What became of one finding; None where that is what it was."""
    told = now or before
    was, becomes = (None if one is None else state(one[1]) for one in (before, now))
    if told is None or was == becomes:
        return None
    control, item = told
    return Turn(item.model, control, item.where, was, becomes, "" if now is None else item.reason)


def _evidence(view: View) -> Iterator[tuple[Key, Found]]:
    """Findings by control, model, task, slice, and turn where several are alike."""
    turn: Counter[Key] = Counter()
    for control in view.controls:
        for item in control.evidence:
            finding = item.finding
            key: Key = (finding.control, finding.model, finding.task, finding.slice)
            turn[key] += 1
            yield (*key, turn[key]), (control, item)


def _flat(entry: BaseModel, part: str) -> dict[tuple[str, str], Scalar]:
    untold = UNTOLD.get(part, frozenset())
    found = _leaves(entry.model_dump(mode="json"))
    return {(field, name): v for (field, name), v in found.items() if not {field, f"{field}.{name}"} & untold}


def _leaves(fields: Mapping[str, object]) -> dict[tuple[str, str], Scalar]:
    """(field, dotted name inside it) -> value; what isn't there, or is empty, is left out."""
    found: dict[tuple[str, str], Scalar] = {}
    for field, value in fields.items():
        stack: list[tuple[str, object]] = [("", value)]
        while stack:
            name, inner = stack.pop()
            if isinstance(inner, Mapping):
                stack += [(f"{name}.{key}" if name else str(key), one) for key, one in reversed(list(inner.items()))]
            elif isinstance(inner, str | int | float):
                found[field, name] = inner
            elif inner:
                found[field, name] = _listed(inner)
    return found


def _listed(value: object) -> str:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "; ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _differing(
    part: str, before: Mapping[tuple[str, str], Scalar], now: Mapping[tuple[str, str], Scalar]
) -> Iterator[Difference]:
    for field, name in dict.fromkeys((*now, *before)):
        one, other = before.get((field, name)), now.get((field, name))
        if one != other:
            yield Difference(part, field, name, one, other)


def paired_fields() -> dict[str, tuple[str, ...]]:
    """Every field that a difference may be in, by part: each needs its name in both languages."""
    from governance.record import DataEntry, Lineage

    kinds: dict[str, type[BaseModel]] = {"data": DataEntry, "model": ModelEntry, "lineage": Lineage}
    told = {part: tuple(f for f in kind.model_fields if f not in UNTOLD.get(part, ())) for part, kind in kinds.items()}
    return {"run": RUN, "policy": ("policy",), **told}
