"""The noise that a target epsilon needs, before anything trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from governance.budget.accounting import Spent, TooLarge, cross_checked
from governance.errors import ConfigError

PRECISION = 5e-4
"""Relative: the sigma found is at most about this much larger than the smallest that would do."""
WIDEST = 1e5


def sigma_for(
    epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    *,
    cap: int = 1,
    beside: Sequence[Spent] = (),
) -> float:
    """The smallest noise multiplier whose planned steps cost at most `epsilon` by PRV and by PLD.

    Args:
        epsilon: target, in nats.
        delta: of the target.
        sample_rate: chance of a contribution to join a step, in (0, 1].
        steps: planned.
        cap: contributions of the protected unit, as in `Spent`; with several, PLD alone has a formula.
        beside: what else the target must cover: other mechanisms of the same run, or what was spent before.

    Raises:
        ConfigError: a setting is out of range, or what is beside it leaves nothing.
    """
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise ConfigError(f"epsilon: expected a positive finite target, got {epsilon}")
    if steps < 1:
        raise ConfigError(f"steps: expected at least 1 to calibrate noise for, got {steps}")

    Spent(1.0, sample_rate, steps, cap)  # tells a bad rate or cap; below, only noise can be wrong

    def excess(log_sigma: float) -> float:
        planned = Spent(math.exp(log_sigma), sample_rate, steps, cap)
        try:
            cost = cross_checked([*beside, planned], delta).epsilon
        except TooLarge:
            cost = math.inf
        return math.log(cost / epsilon) if cost > 0 else -math.inf

    already = cross_checked(beside, delta).epsilon
    found = _root(excess, _start(epsilon, delta, sample_rate, steps, cap)) if already < epsilon else None
    if found is None:
        raise ConfigError(
            f"epsilon: no noise reaches {epsilon:g} at delta {delta:g} in {steps} steps: "
            f"what is beside them costs {already:.4g} already"
        )
    return math.exp(found)


def _start(epsilon: float, delta: float, sample_rate: float, steps: int, cap: int) -> float:
    """A rough log sigma by the central limit: a place to begin, nothing that is relied on."""
    room = math.sqrt(2 * math.log(1 / delta))
    mu = math.sqrt(room**2 + 2 * epsilon) - room
    plain = cap * math.sqrt(steps) / mu
    sampled = 1 / math.sqrt(math.log1p((mu / (sample_rate * cap)) ** 2 / steps))
    return math.log(min(plain, sampled))


def _root(excess: Callable[[float], float], start: float) -> float | None:
    """Log sigma just on the safe side of where the falling function `excess` crosses 0; None: nowhere."""
    low = high = start
    step = 0.05
    worst = best = excess(start)
    while best > 0:
        if high > math.log(WIDEST):
            return None
        low, worst = high, best
        high += step
        best, step = excess(high), 2 * step
    while worst <= 0:
        high, best = low, worst
        low -= step
        worst, step = excess(low), 2 * step
    while high - low > PRECISION:
        # Regula falsi, kept off the ends, so that noise of the accountants' grids can't stall it.
        share = worst / (worst - best) if math.isfinite(worst) and math.isfinite(best) else 0.5
        middle = low + min(max(share, 0.1), 0.9) * (high - low)
        found = excess(middle)
        if found > 0:
            low, worst = middle, found
        else:
            high, best = middle, found
    return high
