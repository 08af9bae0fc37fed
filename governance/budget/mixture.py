"""One step of a user with several records: a Gaussian against a mixture of Gaussians, as a privacy loss distribution.

The same distribution as dp-accounting's `from_mixture_gaussian_mechanism`, whose search for each point of the grid
by itself takes ten seconds and more; here all points are searched at once. Discretisation is dp-accounting's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

TAIL = 1e-22
"""Mass beyond the grid, which counts as infinite loss."""
TABLE = 8192
NEWTON = 8


def mixture_pld(sigma: float, sample_rate: float, cap: int, grid: float) -> Any:
    """The privacy loss distribution of one step for a unit with `cap` contributions, each drawn with `sample_rate`.

    Args:
        sigma: noise multiplier.
        sample_rate: in (0, 1).
        cap: >= 1; 1 is the Poisson-subsampled Gaussian.
        grid: of privacy losses, in nats.

    Source:
        Choquette-Choo et al. (2023), arXiv:2310.15526, corollary 4.7.
    """
    import numpy as np
    from dp_accounting.pld import pld_pmf
    from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
    from scipy import stats

    weights = stats.binom.pmf(np.arange(cap + 1), cap, sample_rate)
    possible = weights > 0
    mixture = _Mixture(sigma, np.arange(cap + 1)[possible].astype(float), weights[possible])
    pmfs = []
    for removed in (True, False):
        low, high = mixture.losses(removed=removed)
        first, last = int(np.floor(low / grid)), int(np.ceil(high / grid))
        deltas = mixture.deltas(np.arange(first, last + 1, dtype=np.float64) * np.float64(grid), removed=removed)
        pmfs.append(pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(grid, first, last, deltas))
    return PrivacyLossDistribution(*pmfs)


class _Mixture:
    """N(0, sigma^2) and the sum over i of weights[i] N(shifts[i], sigma^2).

    The log ratio of their densities, `ratio`, rises in x and is convex, as a log-sum-exp of straight lines.
    """

    def __init__(self, sigma: float, shifts: Array, weights: Array) -> None:
        import numpy as np

        self.sigma, self.shifts, self.weights = sigma, shifts, weights
        self._slopes = shifts / sigma**2
        self._starts = np.log(weights) - shifts**2 / (2 * sigma**2)

    def ratio(self, x: Array) -> tuple[Array, Array]:
        """Log of mixture over plain density at x, and its derivative."""
        import numpy as np

        lines = self._starts + np.multiply.outer(x, self._slopes)
        peak = lines.max(axis=1)
        parts = np.exp(lines - peak[:, None])
        total = parts.sum(axis=1)
        return peak + np.log(total), parts @ self._slopes / total

    def losses(self, *, removed: bool) -> tuple[float, float]:
        """Between which losses all but `TAIL` of the mass lies; removed: the mixture is the true one."""
        import numpy as np
        from scipy import stats
        from scipy.optimize import brentq

        far = -float(stats.norm.ppf(TAIL)) * self.sigma
        if not removed:
            ends = self.ratio(np.array([-far, far]))[0]
            return -float(ends[1]), -float(ends[0])
        top = float(self.shifts[-1]) + far
        upper = brentq(lambda x: self._above(np.array([x]))[0] - TAIL, 0.0, top)
        ends = self.ratio(np.array([-far, upper]))[0]
        return float(ends[0]), float(ends[1])

    def deltas(self, epsilons: Array, *, removed: bool) -> Array:
        """Hockey-stick divergence at each epsilon, rising epsilons."""
        import numpy as np
        from scipy import stats

        # The loss is the ratio where the mixture is the true one, and minus the ratio where the plain is.
        levels = epsilons if removed else -epsilons
        floor = float(np.log(self.weights[0])) if self.shifts[0] == 0 else -np.inf
        reached = levels > floor + 1e-12
        found = np.where(reached, 0.0, -np.expm1(epsilons) if removed else 0.0)
        x = self._where(levels[reached])
        with np.errstate(over="ignore"):
            if removed:
                found[reached] = self._above(x) - np.exp(epsilons[reached] + stats.norm.logsf(x / self.sigma))
            else:
                below = stats.norm.cdf(np.subtract.outer(x, self.shifts) / self.sigma) @ self.weights
                found[reached] = stats.norm.cdf(x / self.sigma) - np.exp(epsilons[reached]) * below
        # Rounding can make the curve rise by 1e-16 somewhere: take the upper envelope, as an upper bound must.
        return np.maximum.accumulate(np.clip(found, 0.0, 1.0)[::-1])[::-1]

    def _above(self, x: Array) -> Array:
        import numpy as np
        from scipy import stats

        chance: Array = stats.norm.sf(np.subtract.outer(x, self.shifts) / self.sigma) @ self.weights
        return chance

    def _where(self, levels: Array) -> Array:
        """The x at which the ratio takes each level: a table for a start, then Newton."""
        import numpy as np

        if not len(levels):
            return levels
        reach = 45.0 * self.sigma + float(self.shifts[-1])
        table = np.linspace(-reach, reach, TABLE)
        # From the right of its root Newton on a rising convex function never overshoots.
        x = np.interp(levels, self.ratio(table)[0], table) + table[1] - table[0]
        for _ in range(NEWTON):
            value, slope = self.ratio(x)
            x = np.where(slope > 1e-300, x - (value - levels) / np.maximum(slope, 1e-300), x)
        found: Array = np.clip(x, -reach, reach)
        return found
