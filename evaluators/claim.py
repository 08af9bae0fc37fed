"""What private training promised, as exact figures that a policy can bound and an attack can be held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.base import Probe, Setting, Subject
from governance.measure import Fact, NotMeasured, Outcome, Unit

_METRICS = ("privacy.epsilon", "privacy.delta", "privacy.delta_times_n")


@dataclass(frozen=True)
class Claim:
    """Epsilon, delta, and delta times the training rows: the expected number of records given up outright."""

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: a claim is read, not asked for."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's
        """Three facts for each privately trained model; for the others, why there are none."""
        return [outcome for subject in subjects for outcome in _claim(subject)]


def _claim(subject: Subject) -> list[Outcome]:
    claim = subject.claim
    if claim is None:
        reason = "not trained on this data by this audit"
        if subject.trained:
            reason = "trained without differential privacy, so no epsilon is finite"
        return [NotMeasured(metric=metric, reason=reason, model=subject.name) for metric in _METRICS]
    method = f"claimed: {claim.accountant}, {claim.steps} steps, unit {claim.unit}, {claim.neighbouring}"
    figures = {
        "privacy.epsilon": (claim.epsilon, Unit.NATS),
        "privacy.delta": (claim.delta, Unit.PROBABILITY),
        "privacy.delta_times_n": (claim.delta * claim.n, Unit.RATIO),
    }
    return [
        Fact(metric=metric, value=value, unit=unit, method=method, model=subject.name)
        for metric, (value, unit) in figures.items()
    ]
