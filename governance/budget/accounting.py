"""What blocks of noisy steps cost: epsilon at a delta, by two accountants that must agree.

PRV (Opacus) and PLD (dp-accounting) both give upper bounds. Each is computed by its own authors' code, so an error
in one shows as a disagreement. RDP is looser and serves where neither of them reaches: tuning.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from governance.errors import ConfigError, SteelyardError

Neighbouring: TypeAlias = Literal["add-or-remove-one", "replace-one"]

FINE = 1e-4
"""Grid of privacy losses of the PLD accountant, in nats; any grid gives an upper bound, a finer one a closer bound."""
COARSE = 10.0
"""A stretch of the grid that takes a tenth of the time."""
PRV_ERROR = 0.01
"""Half the width of the interval that the PRV accountant promises, in nats; its delta error is delta / 1000."""
USUAL = (0.5, 25.0)  # epsilons between which these grids serve; they shrink below and grow above, in proportion
FINEST = 2.0**-6  # of the usual grid: what is lost below is under a millionth of a nat a step
BEYOND = 1000.0  # no accountant is asked about an epsilon above it
REFINEMENTS = 3


@dataclass(frozen=True, slots=True)
class Spent:
    """A block of steps, each the sum of clipped contributions of a Poisson draw plus Gaussian noise.

    Attributes:
        sigma: noise multiplier: the noise's standard deviation over the clipping bound of one contribution.
        sample_rate: chance of a contribution to join a step, in (0, 1]; 1.0 is the plain Gaussian mechanism.
        steps: how many, >= 0.
        cap: contributions that the protected unit has at most, each drawn by itself: k for a user with up to k
            records under record-level sampling.
        neighbouring: whether the unit is added or removed, or replaced by another (then `cap` is 1).
    """

    sigma: float
    sample_rate: float
    steps: int
    cap: int = 1
    neighbouring: Neighbouring = "add-or-remove-one"

    def __post_init__(self) -> None:
        # Written so that NaN fails each of them.
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise ConfigError(f"sigma: expected a positive finite noise multiplier, got {self.sigma}")
        if not 0 < self.sample_rate <= 1:
            raise ConfigError(f"sample_rate: expected a share above 0 and up to 1, got {self.sample_rate}")
        if type(self.steps) is not int or self.steps < 0:
            raise ConfigError(f"steps: expected a whole number >= 0, got {self.steps}")
        if type(self.cap) is not int or self.cap < 1:
            raise ConfigError(f"cap: expected a whole number >= 1, got {self.cap}")
        if self.neighbouring not in ("add-or-remove-one", "replace-one"):
            raise ConfigError(f"neighbouring: expected 'add-or-remove-one' or 'replace-one', got {self.neighbouring!r}")
        if self.cap > 1 and self.neighbouring != "add-or-remove-one":
            raise ConfigError(f"cap: {self.cap} contributions can only be accounted for under add-or-remove-one")


class TooLarge(ConfigError):
    """An epsilon beyond what an accountant can tell, and beyond any use."""


class AccountantsDisagree(SteelyardError):
    """PRV and PLD contradict each other, so neither is believed."""


class Checked(NamedTuple):
    """An epsilon that two accountants vouch for.

    Attributes:
        epsilon: the larger of both: what a claim states.
        prv: PRV's upper bound; None where a unit has several contributions, which PRV has no formula for.
        pld: PLD's upper bound.
    """

    epsilon: float
    prv: float | None
    pld: float


def aggregated(blocks: Sequence[Spent]) -> tuple[Spent, ...]:
    """The same spending in as few blocks as can be, in a fixed order: the order of steps never matters."""
    steps: Counter[Spent] = Counter()
    for block in blocks:
        steps[replace(block, steps=0)] += block.steps
    merged = [replace(kind, steps=count) for kind, count in steps.items() if count]
    return tuple(sorted(merged, key=lambda b: (b.sigma, b.sample_rate, b.cap, b.neighbouring)))


def epsilon_by(accountant: str, blocks: Sequence[Spent], delta: float) -> float:
    """Epsilon by the accountant of that name: "prv", "pld" or "rdp".

    Raises:
        ConfigError: there is no such accountant, or it is GDP.
    """
    if accountant == "gdp":
        raise ConfigError(
            "accountant: 'gdp' is refused: its central limit approximation underestimates epsilon "
            "(1.62 where the truth is above 1.81); use 'prv'"
        )
    known = {"prv": epsilon_prv, "pld": epsilon_pld, "rdp": epsilon_rdp}
    if accountant not in known:
        raise ConfigError(f"accountant: no {accountant!r}. Known: {', '.join(known)}.")
    return known[accountant](blocks, delta)


def epsilon_prv(blocks: Sequence[Spent], delta: float) -> float:
    """Upper bound of epsilon by Opacus's PRV accountant, in nats.

    Source:
        Gopi, Lee and Wutschitz (2021), arXiv:2106.02848.
    """
    return _prv_interval(blocks, delta)[1]


def _prv_interval(blocks: Sequence[Spent], delta: float) -> tuple[float, float]:
    """Lower and upper bound of epsilon by PRV."""
    check_delta(delta)
    merged = single_contributions(aggregated(blocks), "PRV")
    if not merged:
        return 0.0, 0.0
    from opacus.accountants import PRVAccountant

    eps_error, delta_error = PRV_ERROR * _scale(merged, delta), delta / 1000
    accountant = PRVAccountant()
    accountant.history = [(block.sigma, block.sample_rate, block.steps) for block in merged]
    with _without_asides():
        try:
            found = accountant._get_dprv(eps_error, delta_error).compute_epsilon(delta, delta_error, eps_error)
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"epsilon: the PRV accountant can't tell it for this noise and delta: {error}") from None
    if not math.isfinite(found[2]):
        raise TooLarge("epsilon: the PRV accountant finds no finite one for this noise; use a larger sigma")
    return max(0.0, float(found[0])), max(0.0, float(found[2]))


def epsilon_pld(
    blocks: Sequence[Spent], delta: float, *, neighbouring: Neighbouring | None = None, stretch: float = 1.0
) -> float:
    """Upper bound of epsilon by dp-accounting's privacy loss distributions, all blocks composed jointly, in nats.

    Args:
        blocks: what was spent.
        delta: in (0, 1).
        neighbouring: read every block under this relation. [default: each its own]
        stretch: of the grid of privacy losses; 1.0 is fine enough for three digits.

    Source:
        Doroshenko et al. (2022), arXiv:2207.04380.
    """
    check_delta(delta)
    if neighbouring is not None:
        blocks = [replace(block, neighbouring=neighbouring) for block in blocks]
    merged = aggregated(blocks)
    if not merged:
        return 0.0
    with _without_asides():
        return max(0.0, float(_joint(merged, stretch * _grid(merged, delta)).get_epsilon_for_delta(delta)))


def delta_pld(blocks: Sequence[Spent], epsilon: float) -> float:
    """Upper bound of delta at an epsilon >= 0, by PLD."""
    merged = aggregated(blocks)
    if not merged:
        return 0.0
    with _without_asides():
        return float(_joint(merged, _grid(merged, 1e-6)).get_delta_for_epsilon(epsilon))


def epsilon_rdp(blocks: Sequence[Spent], delta: float) -> float:
    """Upper bound of epsilon by Rényi accounting: quick and loose. Add-or-remove-one, one contribution a unit."""
    check_delta(delta)
    merged = single_contributions(aggregated(blocks), "RDP")
    if not merged:
        return 0.0
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(block.sigma, block.sample_rate, block.steps) for block in merged]
    with _without_asides():
        return float(accountant.get_epsilon(delta))


def cross_checked(blocks: Sequence[Spent], delta: float) -> Checked:
    """Epsilon for a claim: PRV and PLD must agree within what they state of themselves.

    PRV promises an interval, PLD an upper bound that closes in on epsilon as its grid gets finer. So PLD below the
    interval is a contradiction, and PLD above it, on a fine grid too, is another.

    Raises:
        AccountantsDisagree: they don't agree.
    """
    merged = aggregated(blocks)
    if any(block.cap > 1 or block.neighbouring != "add-or-remove-one" for block in merged):
        pld = epsilon_pld(merged, delta)
        return Checked(pld, None, pld)
    low, high = _prv_interval(merged, delta)
    for halvings in range(REFINEMENTS):
        pld = epsilon_pld(merged, delta, stretch=1 / 2**halvings)
        if low <= pld <= high:
            return Checked(high, high, pld)
        if pld < low:
            break  # an upper bound below a lower one: no finer grid mends that
    raise AccountantsDisagree(
        f"epsilon: PRV says {low:.4g} to {high:.4g} and PLD says {pld:.4g} for {len(merged)} kinds of steps at "
        f"delta {delta:g}; no claim can be made. Please report this with sigma, sample_rate and steps."
    )


def user_epsilon(blocks: Sequence[Spent], delta: float, cap: int) -> float:
    """Epsilon of a user with up to `cap` records, each drawn and clipped by itself.

    Source:
        Choquette-Choo et al. (2023), arXiv:2310.15526, corollary 4.7 (`MixtureOfGaussiansDpEvent`).
    """
    return epsilon_pld([replace(block, cap=cap) for block in blocks], delta)


def curve(blocks: Sequence[Spent], deltas: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """`(epsilon, delta)` by PLD for each delta: the whole trade-off that a claim reports."""
    return tuple((epsilon_pld(blocks, delta), delta) for delta in deltas)


def _joint(merged: Sequence[Spent], grid: float) -> Any:
    first, *rest = (_composed(block, grid) for block in merged)
    for other in rest:
        first = first.compose(other)
    return first


@lru_cache(maxsize=64)
def _composed(block: Spent, grid: float) -> Any:
    return _one_step(replace(block, steps=1), grid).self_compose(block.steps)


@lru_cache(maxsize=64)
def _one_step(kind: Spent, grid: float) -> Any:
    from dp_accounting.pld import privacy_loss_distribution
    from dp_accounting.privacy_accountant import NeighboringRelation

    if kind.cap > 1 and kind.sample_rate < 1:
        from governance.budget.mixture import mixture_pld

        return mixture_pld(kind.sigma, kind.sample_rate, kind.cap, grid)
    replaced = kind.neighbouring == "replace-one"
    return privacy_loss_distribution.from_gaussian_mechanism(
        kind.sigma,
        sensitivity=kind.cap,
        sampling_prob=kind.sample_rate,
        value_discretization_interval=grid,
        neighboring_relation=NeighboringRelation.REPLACE_ONE if replaced else NeighboringRelation.ADD_OR_REMOVE_ONE,
    )


def _scale(merged: Sequence[Spent], delta: float) -> float:
    """How far the usual grids must be stretched (> 1) or refined (< 1), as a power of two so that caches serve.

    A central limit estimate of epsilon is enough for that choice, and only for that: any grid gives upper bounds.
    """
    variance = sum(block.steps * _loss_variance(block) for block in merged)
    rough = variance / 2 + math.sqrt(2 * variance * math.log(1 / delta))
    if rough > BEYOND:
        raise TooLarge("epsilon: too large to be told; this noise protects nobody, use a larger sigma")
    scale = min(1.0, rough / USUAL[0]) * max(1.0, rough / USUAL[1])
    return float(2.0 ** math.floor(math.log2(max(scale, FINEST))))


def _loss_variance(block: Spent) -> float:
    """Variance of one step's privacy loss, roughly: a small rate averages the noise's ratio, a large one can't."""
    shift = block.cap * (2 if block.neighbouring == "replace-one" else 1)
    unsampled = (shift / block.sigma) ** 2
    return min(unsampled, (block.sample_rate * shift) ** 2 * math.expm1(min(1 / block.sigma**2, 700.0)))


def _grid(merged: Sequence[Spent], delta: float) -> float:
    return FINE * _scale(merged, delta)


def single_contributions(merged: tuple[Spent, ...], accountant: str) -> tuple[Spent, ...]:
    """The same blocks, if an accountant that knows no other units can take them."""
    for block in merged:
        if block.cap > 1 or block.neighbouring != "add-or-remove-one":
            raise ConfigError(
                f"accountant: {accountant} covers one contribution a unit, added or removed; found cap {block.cap}, "
                f"{block.neighbouring}; use PLD"
            )
    return merged


def check_delta(delta: float) -> None:
    """That delta is one."""
    if not 0 < delta < 1:
        raise ConfigError(f"delta: expected a number between 0 and 1, got {delta}")


@contextlib.contextmanager
def _without_asides() -> Iterator[None]:
    """Without what the accountants say about their own grids and log(1 - q) at q = 1; it changes no answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.filterwarnings("ignore", message="Optimal order is the")
        yield
