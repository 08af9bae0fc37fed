"""One plan that sampling, noise and accounting all obey, made before anything trains.

Every field is a public constant. A rate, a number of steps or a divisor that follows from the private number of rows
would tell something of it that no accountant counts; so the config states them, and the number of rows itself is
public by assumption.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from governance.budget.accounting import Spent, cross_checked, curve
from governance.budget.calibration import sigma_for
from governance.claims import PrivacyClaim
from governance.errors import ConfigError
from governance.store import versions

Unit = Literal["record", "user"]
Style = Literal["fixed", "auto-s"]

NOT_COVERED = (
    "scrubbing, cleaning, sampling of rows and the split by content, which read the rows before training",
    "the tokenizer's vocabulary, the label set and the lengths, which are taken to be public",
    "evaluation on held-out rows, and the choice of settings if they were tuned on this data",
    "other models that were trained on the same rows; the budget book adds them up",
    "the base model's pretraining data, and any overlap with this data",
    "the number of training rows, which is taken to be public",
    "side channels: how long training took, and what was shown while it ran",
    "floating-point effects on the noise (secure noise generation is not available)",
)
CURVE = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # multiples of the claim's delta at which the whole trade-off is told


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the loop obeys.

    Attributes:
        n: training rows, public by assumption.
        units: what is protected: rows, or users.
        unit: which of the two.
        cap: rows of one user at most; 1 where a unit is a record.
        drawn: what each coin decides: whether a record joins a step (`cap` coins for a user), or whether a user does.
        sample_rate: chance of a coin (Poisson sampling), in (0, 1].
        steps: paid for; a resumed run takes fewer, never more.
        batch: divisor of the noisy gradient sum, whatever a draw's size.
        clipping: L2 bound of what one drawn unit adds.
        clipping_style: "fixed" leaves short gradients as they are; "auto-s" makes nearly all of them equally long.
        sigma: noise multiplier.
        epsilon: target, in nats.
        delta: below 1 / units.
    """

    n: int
    units: int
    unit: Unit = "record"
    cap: int = 1
    drawn: Unit = "record"
    sample_rate: float
    steps: int
    batch: float
    clipping: float
    clipping_style: Style = "fixed"
    sigma: float
    epsilon: float
    delta: float

    def spent(self, steps: int) -> Spent:
        """What this many steps are to the accountants."""
        return Spent(self.sigma, self.sample_rate, steps, cap=self.contributions)

    @property
    def drawable(self) -> int:
        """How many coins a step tosses."""
        return self.units if self.drawn == "user" else self.n

    @property
    def contributions(self) -> int:
        """Coins of one protected unit: several where records are drawn and users protected."""
        return self.cap if self.unit == "user" and self.drawn == "record" else 1


def plan(
    *,
    n: int,
    epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    batch: float,
    clipping: float,
    clipping_style: Style = "fixed",
    users: int | None = None,
    cap: int = 1,
    drawn: Unit = "record",
) -> Plan:
    """The plan that reaches a target epsilon: its noise is the smallest that both accountants accept.

    Args:
        n: training rows.
        epsilon: target.
        delta: of the target.
        sample_rate: of Poisson sampling.
        steps: planned.
        batch: public divisor.
        clipping: L2 bound of a drawn unit's gradient.
        clipping_style: how it is applied.
        users: how many, where a user is protected, not a record.
        cap: rows of one user at most.
        drawn: where a user is protected: whether records or whole users are drawn and clipped.

    Raises:
        ConfigError: delta is not below 1 / units, or no noise reaches the target.
    """
    units = n if users is None else users
    if not delta < 1 / units:
        what = "training rows" if users is None else "users"
        raise ConfigError(f"private.delta: expected below 1/n = {1 / units:.3g} for {units} {what}, got {delta:g}")
    unit: Unit = "record" if users is None else "user"
    coins = cap if unit == "user" and drawn == "record" else 1
    try:
        sigma = sigma_for(epsilon, delta, sample_rate, steps, cap=coins)
    except ConfigError as error:
        raise ConfigError(f"private.epsilon: no noise reaches {epsilon:g} in {steps} steps: {error}") from None
    return Plan(
        n=n,
        units=units,
        unit=unit,
        cap=cap,
        drawn=drawn if users is not None else "record",
        sample_rate=sample_rate,
        steps=steps,
        batch=batch,
        clipping=clipping,
        clipping_style=clipping_style,
        sigma=sigma,
        epsilon=epsilon,
        delta=delta,
    )


def epsilon_after(plan: Plan, steps: int) -> float:
    """Epsilon that `steps` steps of a plan cost, in nats: the larger of both accountants' upper bounds."""
    return cross_checked([plan.spent(steps)], plan.delta).epsilon


def claim(plan: Plan, steps: int, *, trained: str, extra: tuple[str, ...] = (), ranks: int = 1) -> PrivacyClaim:
    """What may be said after `steps` charged steps.

    Args:
        plan: that was obeyed.
        steps: charged.
        trained: which parameters were trained, in words.
        extra: what else this run does not cover.
        ranks: processes that shared the work.
    """
    checked = cross_checked([plan.spent(steps)], plan.delta)
    deltas = [plan.delta * times for times in CURVE if plan.delta * times < 1]
    lows = "PLD (dp-accounting)" if checked.prv is None else "PRV (Opacus), cross-checked by PLD (dp-accounting)"
    return PrivacyClaim(
        epsilon=checked.epsilon,
        delta=plan.delta,
        unit=plan.unit,
        neighbouring="add-or-remove-one",
        sampling="poisson",
        accountant=lows,
        steps=steps,
        sigma=plan.sigma,
        sample_rate=plan.sample_rate,
        clipping=plan.clipping,
        normaliser=float(plan.batch),
        n=plan.n,
        rng=f"torch Mersenne Twister, seeded from the operating system for every start{_each(ranks)}; "
        "not cryptographic",
        target_epsilon=plan.epsilon,
        covers="the gradient steps of this one training run; the final weights are released",
        not_covered=(*NOT_COVERED, *extra),
        versions=versions("opacus", "dp-accounting", "torch"),
        units=plan.units,
        cap=plan.cap,
        drawn=plan.drawn,
        clipping_style=plan.clipping_style,
        epsilon_pld=checked.pld,
        curve=tuple(point for point in curve([plan.spent(steps)], deltas) if math.isfinite(point[0])),
        setting="central: whoever runs this audit sees the scrubbed rows and is trusted with them",
        trained=trained,
    )


def _each(ranks: int) -> str:
    return "" if ranks == 1 else f" of each of {ranks} processes"
