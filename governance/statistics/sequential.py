"""Looking again and again at a growing sample, and stopping at will, without false alarms piling up.

A gambler bets against "the mean is m" at odds that are fair if it is so. Her wealth then grows by a factor of
20 at any time, ever, with a chance of at most 1/20: wealth is evidence (an e-value), and may be looked at every night.

Each bet is a factor (1 + k x) / (1 + k m) per observation x in [0, 1], k > 0, whose mean is 1 under m. Written so,
the product over observations needs one sum per k, whatever m: a state of some twenty numbers tests every m,
and its confidence sequence is exact rather than taken from a grid. With the gambler's stake split over
a few fixed k, the order in which batches arrive changes nothing, and she gets nearly as much as the best k alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from governance.statistics.intervals import Bounds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Alternative = Literal["two-sided", "greater", "less"]
BETS = tuple(2.0**power for power in range(-5, 6))
"""Sizes k of the bets; at m = 1/2 they stake from 3% to 94% of the wealth per unit of difference."""
_CHUNK = 16_384  # observations per work array
_MOST = 700.0  # e**700 is finite


@dataclass(frozen=True, slots=True, kw_only=True)
class BettingProcess:
    """Evidence against "the mean is `null`" so far, to be updated with batches of new observations.

    Valid if each observation, given the earlier ones, has the same mean: independent rows do. Rows of one cluster
    don't; give their mean as one observation. The same row again is no new observation.
    For paired models, observe `a - b` with the defaults; for non-inferiority, `null=-margin, alternative="greater"`.

    Attributes:
        null: the mean under test, inside `reach`, in the observations' own unit.
        reach: smallest and largest possible observation.
        alternative: "greater" collects evidence against means up to `null`, "less" against means
            from `null` on, "two-sided" against `null` itself with half the stake on each side.
        bets: sizes of the bets; kept in the state, so that a newer default can't reinterpret an older state.
        n: observations so far.
        total: sum of the observations, mapped to [0, 1].
        upward: log factors of bets on a larger mean, summed over observations, one per bet.
        downward: the same for bets on a smaller mean.
        log_peak: the largest log e-value after any observation so far, at least 0.
    """

    null: float = 0.0
    reach: tuple[float, float] = (-1.0, 1.0)
    alternative: Alternative = "two-sided"
    bets: tuple[float, ...] = BETS
    n: int = 0
    total: float = 0.0
    upward: tuple[float, ...] = (0.0,) * len(BETS)
    downward: tuple[float, ...] = (0.0,) * len(BETS)
    log_peak: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.reach
        if not (math.isfinite(low) and math.isfinite(high) and low < self.null < high):
            raise ValueError(f"expected a null inside a finite reach, got {self.null} and {self.reach}")
        if self.alternative not in get_args(Alternative):
            raise ValueError(f"expected one of {get_args(Alternative)}, got {self.alternative!r}")
        if not self.bets or not all(math.isfinite(bet) and bet > 0 for bet in self.bets):
            raise ValueError("expected at least one bet, each finite and above 0")
        sums = (*self.upward, *self.downward, self.total, self.log_peak)
        if not (len(self.upward) == len(self.downward) == len(self.bets) and all(map(math.isfinite, sums))):
            raise ValueError("expected a finite sum per bet in each direction")
        if not (self.n >= 0 and self.n % 1 == 0 and -1e-9 <= self.total <= self.n * (1 + 1e-9) and self.log_peak >= 0):
            raise ValueError(f"expected 0 <= total <= n and a peak >= 0, got {self.total}, {self.n}, {self.log_peak}")

    def update(self, observations: ArrayLike) -> Self:
        """The state after a batch of new observations; batches split otherwise give the very same state.

        Args:
            observations: shape (b,), within `reach`, in the order of their arrival; b may be 0.

        Raises:
            ValueError: not a vector, or an observation that is not a number within `reach`.
        """
        values = np.asarray(observations, dtype=float)
        low, high = self.reach
        # Negated, so that NaN is refused too.
        if values.ndim != 1 or not np.all((values >= low) & (values <= high)):
            raise ValueError(f"expected a vector of observations within {self.reach}")
        state = self
        for start in range(0, len(values), _CHUNK):
            state = state._step((values[start : start + _CHUNK] - low) / (high - low))
        return state

    def _step(self, x: NDArray[np.float64]) -> Self:
        bets = np.array(self.bets)
        gains = np.column_stack([np.log1p(np.outer(x, bets)), np.log1p(np.outer(1 - x, bets)), x])
        # A cumulative sum adds one by one, from the state on: no split of the batches changes the rounding.
        sums = np.cumsum(np.vstack([[*self.upward, *self.downward, self.total], gains]), axis=0)[1:]
        up, down = sums[:, : len(bets)], sums[:, len(bets) : -1]
        wealth = self._log_wealth(up, down, self.n + np.arange(1, len(x) + 1), self._mapped(self.null))
        return replace(
            self,
            n=self.n + len(x),
            total=float(sums[-1, -1]),
            upward=tuple(up[-1].tolist()),
            downward=tuple(down[-1].tolist()),
            log_peak=max(self.log_peak, float(wealth.max())),
        )

    def _log_wealth(
        self, up: NDArray[np.float64], down: NDArray[np.float64], n: NDArray[np.int64], mean: float
    ) -> NDArray[np.float64]:
        """Log of the mean wealth over bets, for sums (b, bets) after n (b,) observations: (b,)."""
        bets, sides = np.array(self.bets), []
        if self.alternative != "less":
            sides.append(up - np.outer(n, np.log1p(bets * mean)))
        if self.alternative != "greater":
            sides.append(down - np.outer(n, np.log1p(bets * (1 - mean))))
        logs = np.concatenate(sides, axis=1)
        top = logs.max(axis=1, keepdims=True)
        return np.asarray(top[:, 0] + np.log(np.exp(logs - top).mean(axis=1)))

    def _mapped(self, value: float) -> float:
        return (value - self.reach[0]) / (self.reach[1] - self.reach[0])

    def log_e(self, null: float | None = None) -> float:
        """Log of the e-value against a mean, in nats; without one, against `self.null`.

        Raises:
            ValueError: a mean outside `reach`.
        """
        mean = self._mapped(self.null if null is None else null)
        if not 0 <= mean <= 1:
            raise ValueError(f"expected a mean within {self.reach}, got {null}")
        return self._log_at(mean)

    def _log_at(self, mean: float) -> float:
        up, down = np.array([self.upward]), np.array([self.downward])
        return float(self._log_wealth(up, down, np.array([self.n]), mean)[0])

    @property
    def e_value(self) -> float:
        """Evidence now against `null`; under it, ever at least c with a chance of at most 1/c. Capped at e**700."""
        return math.exp(min(_MOST, self.log_e()))

    @property
    def p_value(self) -> float:
        """1 over the largest e-value so far, at most 1: valid at any time, and never rises again.

        Source:
            Ville (1939); Ramdas, Grünwald, Vovk and Shafer (2023), Stat. Sci. 38.
        """
        return math.exp(-min(_MOST, self.log_peak))

    @property
    def mean(self) -> float | None:
        """Mean of the observations, in their own unit; None before the first."""
        return self.reach[0] + (self.reach[1] - self.reach[0]) * self.total / self.n if self.n else None

    def confidence_sequence(self, level: float = 0.95) -> Bounds:
        """Means that the evidence so far doesn't reject: all these intervals, over all times, hold the mean together.

        For a one-sided alternative one end is that of `reach`.

        Raises:
            ValueError: a level outside (0, 1).

        Source:
            Waudby-Smith and Ramdas (2023), JRSS B 86, section 4; bets of fixed size, mixed.
        """
        from scipy.optimize import brentq

        if not 0 < level < 1:
            raise ValueError(f"expected a level in (0, 1), got {level}")
        threshold = -math.log1p(-level)

        def excess(mean: float) -> float:
            return self._log_at(mean) - threshold

        # Wealth is log-convex in the mean under test and at most 1 at the sample mean (Jensen): one root on each side.
        centre = min(1.0, max(0.0, self.total / self.n)) if self.n else 0.5
        low = float(brentq(excess, 0.0, centre)) if excess(0.0) > 0 else 0.0
        high = float(brentq(excess, centre, 1.0)) if excess(1.0) > 0 else 1.0
        scale = self.reach[1] - self.reach[0]
        return Bounds(self.reach[0] + low * scale, self.reach[0] + high * scale)

    def to_json(self) -> dict[str, Any]:
        """The state as plain numbers, strings and lists, for `from_json` to continue."""
        return {
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in fields(self)
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote, bit for bit.

        Raises:
            ValueError: names missing or unknown, or values that are no state.
        """
        names = {field.name for field in fields(cls)}
        if set(state) != names:
            raise ValueError(f"expected exactly {sorted(names)}, got {sorted(state)}")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in state.items()
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"expected numbers, one string and lists of numbers: {error}") from error
