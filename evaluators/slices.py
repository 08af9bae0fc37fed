"""Where does a model err most? Conjunctions of group columns, found on half of the rows, confirmed on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.base import HELD_OUT, Probe, Setting, Subject
from governance.groups.counts import codes_of
from governance.groups.gaps import WILSON
from governance.groups.slices import Coded, confirm, halves, search
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.statistics.scores import UNANSWERED, class_codes

TASK = "classification"


@dataclass(frozen=True)
class WorstSlices:
    """The slices in which a model errs more than on all other rows, with their error rates.

    Every group column is a feature. Rows that a model failed on are left out; whole clusters are on one side.

    Attributes:
        depth: features that a slice combines at most.
        min_rows: rows that a slice needs, on either side.
        candidates: slices that go from the search to the confirmation.
        most: slices reported at most.
    """

    depth: int = 3
    min_rows: int = 30
    candidates: int = 20
    most: int = 5

    def __post_init__(self) -> None:
        for name in ("depth", "min_rows", "candidates", "most"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """How many slices were confirmed, and each of them."""
        return [outcome for subject in subjects for outcome in self._of(subject, setting)]

    def _of(self, subject: Subject, setting: Setting) -> list[Outcome]:
        def missing(reason: str) -> list[Outcome]:
            return [NotMeasured(metric="slices.confirmed", reason=reason, model=subject.name, task=TASK)]

        if not setting.test.groups:
            return missing("the config declares no group columns")
        answers = subject.answers[HELD_OUT]
        predicted = class_codes(answers.labels, setting.labels.classes)
        rows = answers.index[predicted != UNANSWERED]
        wrong = setting.labels.codes(setting.test.labels)[rows] != predicted[predicted != UNANSWERED]
        clusters = setting.test.clusters[rows]
        if len(np.unique(clusters)) < 2:
            return missing("the rows are of one cluster, so none is left to confirm a slice")
        if len(rows) < 4 * self.min_rows:
            return missing(f"{len(rows)} rows, {4 * self.min_rows} needed")
        features = {name: codes_of([values[row] for row in rows]) for name, values in setting.test.groups.items()}
        half = halves(clusters, setting.seed)
        found, looked = search(
            _part(features, half), wrong[half], depth=self.depth, min_rows=self.min_rows, most=self.candidates
        )
        confirmed = confirm(
            found, _part(features, ~half), wrong[~half], clusters[~half], level=setting.level, min_rows=self.min_rows
        )
        how = (
            f"{looked} slices searched on {int(half.sum())} rows, {len(found)} tested on {int((~half).sum())} others; "
            "Benjamini-Hochberg at 5%"
        )
        outcomes: list[Outcome] = [
            Fact(
                metric="slices.confirmed", value=len(confirmed), unit=Unit.COUNT, method=how, model=subject.name,
                task=TASK,
            )
        ]  # fmt: skip
        for one in confirmed[: self.most]:
            outcomes.append(
                Measurement(
                    metric="slices.error", value=one.inside.value, low=one.inside.low, high=one.inside.high,
                    level=setting.level, n=one.inside.n, unit=Unit.RATE,
                    method=f"rows that did not choose the slice; {WILSON}",
                    model=subject.name, task=TASK, slice=Slice.of(one.where),
                    counts={"elsewhere": one.outside.value, "adjusted_p": one.p, "clusters": one.inside.clusters},
                )
            )  # fmt: skip
        return outcomes


def _part(features: Coded, rows: np.ndarray) -> Coded:
    return {name: (values, codes[rows]) for name, (values, codes) in features.items()}
