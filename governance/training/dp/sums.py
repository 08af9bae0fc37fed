"""Sums over all rows, released with noise: the plain Gaussian mechanism, for what is not trained by gradients.

Every row joins every sum (a sample rate of 1); each release is one step of the plan, paid for before it is made.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from governance.claims import PrivacyClaim
from governance.dataset import ScrubbedTable
from governance.errors import BudgetExceeded, ConfigError
from governance.training.dp.draws import Owners, fresh_generator
from governance.training.dp.plan import Plan, claim
from governance.training.loop import Charges


class NoisySums:
    """Releases a plan's sums, one a step.

    Args:
        plan: with sample rate 1 and one step for each release.
        charges: where steps are paid for.
        sensitivity: L2 bound of what the weighted rows of one contribution add to a sum.
        releases: how many the recipe makes; None: as many as the plan has steps.
        what: the recipe's name, for messages.

    Attributes:
        noise: standard deviation of what is added to each number.
        stopped: why there were fewer releases than planned, if there were.

    Raises:
        ConfigError: the plan draws rows by chance, or pays for another number of steps.
    """

    def __init__(
        self, plan: Plan, charges: Charges | None, *, sensitivity: float, releases: int | None, what: str
    ) -> None:
        if charges is None:
            raise ValueError("a private run needs a place where its steps are charged")
        if plan.sample_rate != 1.0:
            raise ConfigError(
                f"{what}: expected sample_rate 1, since every step counts all rows; got {plan.sample_rate:g}"
            )
        if releases not in (None, plan.steps):
            raise ConfigError(f"{what}: expected {releases} steps, one for each release, got {plan.steps}")
        self._plan, self._charges = plan, charges
        self.sensitivity = sensitivity
        self.noise = plan.sigma * sensitivity
        self.stopped: str | None = None
        self._paid = False

    def steps(self, done: int, on_budget: str) -> Iterator[int]:
        """Numbers of the steps still to take, each paid for when it is handed out.

        Args:
            done: steps whose results are kept; steps that were paid for but lost to a kill are not taken again.
            on_budget: "refuse", or "stop" and keep what there is.

        Raises:
            BudgetExceeded: the data set's budget refuses a step, and nothing was said of stopping there.
        """
        first = max(done, self._charges.charged)
        for step in range(first, self._plan.steps):
            try:
                self._charges.charge(1)
            except BudgetExceeded:
                if on_budget == "refuse" or (not done and step == first):
                    raise
                self.stopped = "the data set's privacy budget"
                return
            self._paid = True
            yield step

    def noisy(self, exact: NDArray[np.float64]) -> NDArray[np.float64]:
        """A sum plus noise from the operating system's entropy: the release that this step paid for.

        Raises:
            ValueError: no step was paid for since the last release, or a sum is not finite.
        """
        if not self._paid:
            raise ValueError("a release that was not paid for")
        if not np.isfinite(exact).all():
            raise ValueError("a sum that is not finite can't be hidden by noise")
        self._paid = False
        drawn = torch.randn(exact.shape, generator=fresh_generator(), dtype=torch.float64)
        return exact + self.noise * drawn.numpy()

    def claim(self, *, covers: str, trained: str, extra: tuple[str, ...] = ()) -> PrivacyClaim:
        """What may be said of all steps charged so far."""
        made = claim(self._plan, self._charges.charged, trained=trained, extra=extra)
        return dataclasses.replace(made, covers=covers, clipping=self.sensitivity, normaliser=1.0)


def contributions(
    table: ScrubbedTable, plan: Plan | None, owners: Owners | None, *, what: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows that count, and how much, so that what one coin of the plan decides weighs at most 1 in all.

    Returns:
        Row numbers and their weights, both of shape (m,).

    Raises:
        ConfigError: a user has more rows than the plan pays for.
    """
    everyone = np.arange(len(table)), np.ones(len(table))
    if plan is None or plan.unit == "record":
        return everyone
    if plan.drawn == "user":
        if owners is None:
            raise ConfigError(f"{what}: a plan that protects users needs to know whose rows these are")
        rows, weights = owners.rows(torch.arange(len(owners)))
        kept = (weights > 0).numpy()
        # Rounded to single precision, a user's weights may sum to a little more than 1.
        return rows.numpy()[kept], weights.double().numpy()[kept] * (1 - 1e-6)
    if table.units is None or np.unique(table.units, return_counts=True)[1].max(initial=0) > plan.cap:
        raise ConfigError(f"{what}: expected at most {plan.cap} rows of each user, as the plan pays for")
    return everyone


def joint_sensitivity(*parts: float) -> float:
    """L2 bound of several sums released together, from the bound of each.

    >>> joint_sensitivity(3.0, 4.0)
    5.0
    """
    return math.hypot(*parts)
