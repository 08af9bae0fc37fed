"""How the first place moves with the weights: over all of them, and for a few that have a name.

Stochastic multicriteria acceptability analysis (SMAA-2): instead of asking for weights, say for how large a share of
all possible weightings each model comes first, and what weighting is typical of those.

Every criterion is put on one scale: 0 at the worst end of any model's interval in this run, 1 at the best; in between
it is linear. So a weight says how much the whole way from worst to best in this run counts. Each figure is drawn from
its interval, on each side a half normal that has the stated level between the ends; figures of two models are drawn
independently, which overstates the doubt where both were measured on the same rows.

Source:
    Lahdelma, Hokkanen and Salminen 1998, doi:10.1016/S0377-2217(97)00163-X; Lahdelma and Salminen 2001,
    doi:10.1287/opre.49.3.444.11220.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from governance.decision.front import Spread
from governance.measure import Fact, Measurement, Unit
from governance.statistics.intervals import wilson

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 20_000
LINES = 2_000  # draws of figures, each with its exact shares of the line of two weights
SEED = 0
LEVEL = 0.95
EMPHASIS = 0.6
"""What the named scenarios give to what they put first; the rest is shared alike."""
SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "quality": ("quality",),
    "cost": ("cost",),
    "privacy": ("epsilon", "leaving"),
    "speed": ("latency",),
    "equal": (),
}
"""Scenario -> the criteria that it puts first, as far as they are weighed."""


@dataclass(frozen=True)
class Scenario:
    """One weighting with a name.

    Attributes:
        name: see `SCENARIOS`.
        weights: criterion -> weight; they add up to 1.
        first: model -> the share of all draws of the figures in which it comes first.
    """

    name: str
    weights: Mapping[str, float]
    first: Mapping[str, Measurement | Fact]


@dataclass(frozen=True)
class Weighing:
    """How models of one group compare under all weightings.

    Attributes:
        criteria: what is weighed.
        unknown: criterion -> the models for which it isn't known; it is not weighed.
        alike: criteria in which the models are all the same; weighing them would move nothing.
        first: model -> the share of all weightings, and of all draws of the figures, in which it comes first.
        central: model -> the mean of those weightings; absent where it never comes first.
        scenarios: weightings with a name.
    """

    criteria: tuple[str, ...]
    unknown: Mapping[str, tuple[str, ...]]
    alike: tuple[str, ...]
    first: Mapping[str, Measurement | Fact]
    central: Mapping[str, Mapping[str, float]]
    scenarios: tuple[Scenario, ...]


def weigh(
    models: Mapping[str, Mapping[str, Spread | None]], *, draws: int = DRAWS, seed: int = SEED
) -> Weighing | None:
    """Weigh models of one group; the order in which they are given changes nothing.

    Args:
        models: model -> criterion -> spread; None: not known. All have the same criteria.
        draws: of weights and figures.
        seed: of both.

    Returns:
        None for fewer than two models, or where no criterion is known for all and tells them apart.
    """
    names = sorted(models)
    if len(names) < 2:
        return None
    missing = {key: tuple(m for m in models if _unknown(models[m][key])) for key in models[names[0]]}
    known: dict[str, list[Spread]] = {}
    alike = list[str]()
    for key, absent in missing.items():
        spreads = [one for name in names if (one := models[name][key]) is not None]
        if absent:
            continue
        ends = [_both_ends(one) for one in spreads]
        if max(high for _, high in ends) <= min(low for low, _ in ends):  # nothing to tell them apart by
            alike.append(key)
        else:
            known[key] = spreads
    if not known:
        return None
    rng = np.random.default_rng(seed)
    exact = all(one.exact for spreads in known.values() for one in spreads)
    drawn = np.stack([_scaled(spreads, 1 if exact else draws, rng) for spreads in known.values()], axis=-1)
    keys = tuple(known)
    first, central = _over_all(drawn, names, keys, exact, draws, rng)
    return Weighing(
        criteria=keys,
        unknown={key: absent for key, absent in missing.items() if 0 < len(absent) < len(names)},
        alike=tuple(alike),
        first=first,
        central=central,
        scenarios=tuple(_scenario(name, drawn, names, keys) for name in SCENARIOS if _weights(name, keys)),
    )


def _unknown(one: Spread | None) -> bool:
    """A figure without either end may be anything."""
    return one is None or (one.low is None and one.high is None)


def _scaled(spreads: Sequence[Spread], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draws of one criterion on the scale of this run, shape (draws, models)."""
    ends = [_both_ends(one) for one in spreads]
    worst, best = min(low for low, _ in ends), max(high for _, high in ends)
    noise = rng.standard_normal((draws, len(spreads)))
    columns = []
    for place, (one, (low, high)) in enumerate(zip(spreads, ends, strict=True)):
        reach = 1.0 if one.exact else NormalDist().inv_cdf((1 + one.level) / 2)
        side = np.where(noise[:, place] < 0, one.value - low, high - one.value) / reach
        columns.append(one.value + side * noise[:, place])
    return np.asarray((np.stack(columns, axis=1) - worst) / (best - worst))


def _both_ends(one: Spread) -> tuple[float, float]:
    """An interval without an end is taken to reach as far on that side as on the other."""
    low, high = one.low, one.high
    if low is None and high is None:
        return one.value, one.value
    if low is None:
        low = 2 * one.value - (high or 0.0)
    return low, 2 * one.value - low if high is None else high


def _over_all(
    drawn: NDArray[np.float64],
    names: Sequence[str],
    keys: Sequence[str],
    exact: bool,
    draws: int,
    rng: np.random.Generator,
) -> tuple[dict[str, Measurement | Fact], dict[str, dict[str, float]]]:
    """Shares of first places over all weights, and the weights that are typical of them."""
    if len(keys) == 2:
        shares, middle = line_shares(drawn[:LINES])
        method = "exact over the line of weights"
        first = {name: _mean(shares[:, place], method) for place, name in enumerate(names)}
        wins, total = shares * middle, shares.sum(axis=0)
        mean = wins.sum(axis=0) / np.where(total > 0, total, 1.0)
        central = np.stack([mean, 1 - mean], axis=1)
    else:
        weights = rng.dirichlet(np.ones(len(keys)), size=draws)
        won = winners(drawn, weights)
        total = won.sum(axis=0)
        first = {
            name: _counted(float(total[place]), len(won), exact and len(keys) == 1) for place, name in enumerate(names)
        }
        central = np.divide(
            won.T @ weights, total[:, None], out=np.zeros((len(names), len(keys))), where=total[:, None] > 0
        )
    told = {
        name: dict(zip(keys, map(float, central[place]), strict=True))
        for place, name in enumerate(names)
        if total[place] > 0
    }
    return first, told


def winners(drawn: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Who comes first, draw by draw; those that tie share the place.

    Args:
        drawn: how good, shape (draws or 1, models, criteria).
        weights: shape (draws or 1, criteria).

    Returns:
        Shape (draws, models); each row adds up to 1.
    """
    worth = (drawn * weights[:, None, :]).sum(axis=2)
    ties = worth >= worth.max(axis=1, keepdims=True) - 1e-12
    return np.asarray(ties / ties.sum(axis=1, keepdims=True))


def line_shares(drawn: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How long a part of all weightings of two criteria each model comes first, exactly.

    With weight w on the first criterion a model is worth a straight line in w; it comes first where it is on top of
    all others, which is one piece of [0, 1].

    Args:
        drawn: how good, shape (draws, models, 2).

    Returns:
        Lengths and middles of those pieces, each of shape (draws, models). Models that are the same share theirs.
    """
    start, slope = drawn[..., 1], drawn[..., 0] - drawn[..., 1]
    rise = slope[:, :, None] - slope[:, None, :]  # model beside each other one
    need = start[:, None, :] - start[:, :, None]  # it is on top where rise * w >= need
    with np.errstate(divide="ignore", invalid="ignore"):
        cut = need / rise
    low = np.where(rise > 0, cut, 0.0).clip(0.0, 1.0).max(axis=2)
    high = np.where(rise < 0, cut, 1.0).clip(0.0, 1.0).min(axis=2)
    never = ((rise == 0) & (need > 0)).any(axis=2)
    same = ((rise == 0) & (need == 0)).sum(axis=2)
    return np.where(never, 0.0, (high - low).clip(0.0)) / same, (low + high) / 2


def _scenario(name: str, drawn: NDArray[np.float64], names: Sequence[str], keys: Sequence[str]) -> Scenario:
    weights = _weights(name, keys)
    won = winners(drawn, np.array([list(weights.values())]))
    total = won.sum(axis=0)
    first = {one: _counted(float(total[place]), len(won), len(won) == 1) for place, one in enumerate(names)}
    return Scenario(name, weights, first)


def _weights(name: str, keys: Sequence[str]) -> dict[str, float]:
    """The weights of a scenario; none where nothing that it puts first is weighed."""
    favoured = [key for key in SCENARIOS[name] if key in keys]
    others = [key for key in keys if key not in favoured]
    if not SCENARIOS[name] or (favoured and not others):
        return {key: 1 / len(keys) for key in keys}
    if not favoured:
        return {}
    return {key: EMPHASIS / len(favoured) if key in favoured else (1 - EMPHASIS) / len(others) for key in keys}


def _mean(shares: NDArray[np.float64], method: str) -> Measurement | Fact:
    value = float(shares.mean())
    if len(shares) == 1:
        return Fact(metric="decision.first", value=value, unit=Unit.RATE, method=method)
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * float(shares.std(ddof=1)) / len(shares) ** 0.5
    return Measurement(
        metric="decision.first", value=value, low=max(0.0, value - half), high=min(1.0, value + half), level=LEVEL,
        n=len(shares), unit=Unit.RATE, method=f"{method}; mean of {len(shares)} draws of the figures",
    )  # fmt: skip


def _counted(wins: float, draws: int, exact: bool) -> Measurement | Fact:
    value = min(1.0, wins / draws)
    if exact:
        return Fact(metric="decision.first", value=value, unit=Unit.RATE, method="exact")
    low, high = wilson(min(wins, draws), draws, LEVEL)
    return Measurement(
        metric="decision.first", value=value, low=min(low, value), high=max(high, value), level=LEVEL, n=draws,
        unit=Unit.RATE, method=f"{draws} draws of weights and figures; Wilson",
    )  # fmt: skip
