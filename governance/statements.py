"""What may be said of many figures at once: which metrics improved, which slices got worse, which slices failed.

"All controls must pass" needs no correction: one that should not pass is enough to err, and that has its own level. A
list of those that stand out does need one, since with enough of them some always do by luck. Whether anything improved
is answered by Holm (no false claim at all, but once in twenty); which slices failed by Benjamini and Hochberg (of the
slices named, one in twenty may be luck).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from governance.measure import ANY, EVERYONE, Measurement, Outcome, Slice
from governance.policy.model import BASELINE, Control, Policy
from governance.record import RunRecord
from governance.statistics.multiplicity import benjamini_hochberg, holm
from governance.vocabulary import CHANGE

ALPHA = 0.05
Kind = Literal["improved", "worsened", "failed"]
CORRECTIONS: Mapping[Kind, str] = {"improved": "Holm", "worsened": "Benjamini-Hochberg", "failed": "Benjamini-Hochberg"}
_SCORES = ("coverage", "accuracy", "accuracy_all", "balanced_accuracy", "precision", "recall", "f1", "auc")
QUALITY = tuple(f"quality.{name}" for name in _SCORES)
"""Of these more is better; times and prices are told, but nobody's claim that "some metric improved"."""
BETTER_HIGH = ("accuracy", "true_positive_rate", "precision", "auc", "macro_recall", "macro_precision")
BETTER_LOW = ("false_positive_rate", "calibration_error", "mean_absolute_error", "root_mean_squared_error")


@dataclass(frozen=True, slots=True)
class Statement:
    """One figure's claim.

    Attributes:
        metric: of the figure.
        slice: the rows that it speaks of.
        p: one-sided, of this claim alone.
        adjusted: the same for the family together; the claim is made where it is at most `ALPHA`.
        control: the control that it fails, if that is the claim.
    """

    metric: str
    slice: Slice
    p: float
    adjusted: float
    control: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the claim is made."""
        return self.adjusted <= ALPHA


@dataclass(frozen=True, slots=True)
class Family:
    """Claims of one kind about the candidate, with a correction for all of them; never empty."""

    kind: Kind
    statements: tuple[Statement, ...]

    @property
    def correction(self) -> str:
        """Which correction was applied."""
        return CORRECTIONS[self.kind]

    @property
    def shown(self) -> tuple[Statement, ...]:
        """The claims that are made, the surest first."""
        return tuple(sorted((one for one in self.statements if one.shown), key=lambda one: (one.adjusted, one.metric)))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "kind": self.kind,
            "correction": self.correction,
            "level": ALPHA,
            "tested": len(self.statements),
            "shown": [
                {"metric": one.metric, "slice": one.slice.label(), "p": one.p, "adjusted_p": one.adjusted}
                | ({} if one.control is None else {"control": one.control})
                for one in self.shown
            ],
        }


def families(record: RunRecord, policy: Policy, changes: Sequence[Outcome] = ()) -> tuple[Family, ...]:
    """All families of claims about a record's candidate that there are figures for."""
    made = (improvements(changes, record.candidate), worsened(changes, record.candidate))
    return tuple(one for one in (*made, failed_slices(record, policy, changes)) if one is not None)


def improvements(changes: Sequence[Outcome], model: str) -> Family | None:
    """Which figures of quality rose since the baseline; Holm over all of them."""
    found = [one for one in _changes(changes, model) if _stem(one) in QUALITY and one.slice == EVERYONE]
    return _family("improved", [(one, chance_beyond(one, 0.0, above=True), None) for one in found])


def worsened(changes: Sequence[Outcome], model: str) -> Family | None:
    """In which groups and between which groups the figures got worse since the baseline; Benjamini-Hochberg."""
    found = []
    for one in _changes(changes, model):
        better = _better(_stem(one))
        if better and one.slice != EVERYONE:
            found.append((one, chance_beyond(one, 0.0, above=better < 0), None))
    return _family("worsened", found)


def failed_slices(record: RunRecord, policy: Policy, changes: Sequence[Outcome] = ()) -> Family | None:
    """Which slices miss the bounds of controls that speak of many slices; Benjamini-Hochberg over all of them."""
    found = []
    known: dict[str, list[Measurement]] = defaultdict(list)
    for outcome in (*record.outcomes, *changes):
        if isinstance(outcome, Measurement) and outcome.model in (record.candidate, None):
            known[outcome.metric].append(outcome)
    for control in policy.controls:
        if not _of_many(control) or control.end == "value":
            continue
        bound, above = policy.bound(control), control.at_most is not None
        for one in known.get(control.metric, ()):
            if one.slice != EVERYONE and control.matches(one, incumbent=record.incumbent):
                found.append((one, chance_beyond(one, bound, above=above), control.id))
    return _family("failed", found)


def _of_many(control: Control) -> bool:
    return control.slice == "any" or (isinstance(control.slice, dict) and ANY in control.slice.values())


def _changes(changes: Sequence[Outcome], model: str) -> Iterator[Measurement]:
    for one in changes:
        if not isinstance(one, Measurement) or one.reference != BASELINE or one.model != model:
            continue
        if one.metric.endswith(CHANGE):
            yield one


def _stem(change: Measurement) -> str:
    return change.metric.removesuffix(CHANGE)


def _better(metric: str) -> int:
    """1 where more of a figure by group is better, -1 where less is, 0 where neither is."""
    family, _, rest = metric.partition(".")
    name, _, made = rest.partition(".")
    if family != "fairness":
        return 0
    if made:  # a gap between groups, whatever it is a gap of
        return {"difference": -1, "ratio": 1}.get(made, 0)
    return 1 if name in BETTER_HIGH else -1 if name in BETTER_LOW else 0


def chance_beyond(outcome: Measurement, bound: float, *, above: bool) -> float:
    """One-sided p of "the true figure is not beyond the bound", from the interval alone.

    It is (1 - level) / 2 exactly where the interval's end meets the bound; elsewhere the end's distance is scaled as
    a normal variable's, or as a t variable's where the outcome tells of how many clusters.

    Args:
        outcome: the figure.
        bound: in its unit.
        above: whether "beyond" means above.
    """
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    distance = outcome.value - bound if above else bound - outcome.value
    if distance == 0:
        return 0.5 if (outcome.low, outcome.high) != (outcome.value, outcome.value) else 1.0
    near, far = (outcome.low, outcome.high) if above else (outcome.high, outcome.low)
    end = near if distance > 0 else far
    if end is None:
        return 1.0 if distance > 0 else 0.5
    half = abs(outcome.value - end)
    if half == 0:
        return 0.0 if distance > 0 else 1.0
    clusters = outcome.counts.get("clusters", 0)
    upper = 0.5 + outcome.level / 2
    if clusters >= 2:
        return float(stdtr(clusters - 1, -float(stdtrit(clusters - 1, upper)) * distance / half))
    return float(ndtr(-float(ndtri(upper)) * distance / half))


def _family(kind: Kind, claims: Sequence[tuple[Measurement, float, str | None]]) -> Family | None:
    if not claims:
        return None
    adjust: Callable[[Sequence[float]], Any] = holm if CORRECTIONS[kind] == "Holm" else benjamini_hochberg
    adjusted = adjust([p for _, p, _ in claims])
    return Family(
        kind,
        tuple(
            Statement(one.metric, one.slice, p, float(q), control)
            for (one, p, control), q in zip(claims, adjusted, strict=True)
        ),
    )
