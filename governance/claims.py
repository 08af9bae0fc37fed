"""What private training promises, with everything needed to judge the promise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

_ABSENT = Field(exclude_if=lambda value: value is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivacyClaim:
    """An (epsilon, delta) claim of differential privacy, as it must be reported.

    After Ponomareva et al. (2023), "How to DP-fy ML", section 5.3, and NIST SP 800-226.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    epsilon: float  # nats, for all steps charged, interrupted ones included
    delta: float
    unit: str  # "record" or "user"
    neighbouring: str  # "add-or-remove-one" or "replace-one"
    sampling: str  # "poisson"
    accountant: str
    steps: int  # steps charged, >= steps that shaped the weights
    sigma: float  # noise multiplier
    sample_rate: float
    clipping: float  # L2 bound of what one drawn unit adds to a step
    normaliser: float  # public divisor of the noisy gradient sum
    n: int  # training rows; public by assumption
    rng: str
    target_epsilon: float
    covers: str  # which data accesses the budget covers
    not_covered: tuple[str, ...]  # what it does not
    versions: Mapping[str, str] = field(default_factory=dict)
    # What later versions add is left out of a record where it is absent: older records keep their digests.
    units: Annotated[int | None, _ABSENT] = None  # how many are protected: rows, or users
    cap: Annotated[int | None, _ABSENT] = None  # rows of one unit at most
    drawn: Annotated[str | None, _ABSENT] = None  # what each coin draws: "record" or "user"
    clipping_style: Annotated[str | None, _ABSENT] = None  # "fixed" or "auto-s"
    epsilon_pld: Annotated[float | None, _ABSENT] = None  # by the second accountant, where PRV gives the first
    curve: Annotated[tuple[tuple[float, float], ...] | None, _ABSENT] = None  # (epsilon, delta) at other deltas
    setting: Annotated[str | None, _ABSENT] = None  # who is trusted with what
    trained: Annotated[str | None, _ABSENT] = None  # which parameters
    ledger_epsilon: Annotated[float | None, _ABSENT] = (
        None  # of everything that was trained on these rows, this run included
    )
    ledger_runs: Annotated[int | None, _ABSENT] = None  # how many runs that is
    tuning: Annotated[str | None, _ABSENT] = None  # how the settings were chosen, and what that cost

    def __post_init__(self) -> None:
        for name in ("epsilon", "delta", "sigma", "sample_rate", "clipping", "normaliser", "target_epsilon"):
            number = getattr(self, name)
            if not math.isfinite(number) or number <= 0:
                raise ValueError(f"claim: expected a positive finite {name}, got {number}")
        protected = self.units or self.n
        if not self.delta < 1 / protected:
            raise ValueError(f"claim: expected delta below 1/n = {1 / protected:.3g}, got {self.delta:.3g}")
        if not self.sample_rate <= 1:
            raise ValueError(f"claim: expected a sample rate of at most 1, got {self.sample_rate}")
