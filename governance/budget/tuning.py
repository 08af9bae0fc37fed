"""What a search costs that shows only the best of a random number of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from governance.budget.accounting import Spent, aggregated, check_delta, single_contributions
from governance.errors import ConfigError

Distribution: TypeAlias = Literal["poisson", "geometric", "logarithmic"]

SHAPES: dict[Distribution, float] = {"poisson": math.inf, "geometric": 1.0, "logarithmic": 0.0}


class Selection(NamedTuple):
    """A search that shows only its best run: one run's blocks, and how the number of runs was drawn."""

    blocks: tuple[Spent, ...]
    mean_runs: float
    distribution: Distribution


def tuned_epsilon(
    blocks: Sequence[Spent],
    delta: float,
    mean_runs: float,
    distribution: Distribution = "poisson",
    *,
    others: Sequence[Spent] = (),
) -> float:
    """Epsilon of releasing only the best of a random number of equal runs.

    It holds if the number was drawn from this distribution before the first run, whatever the runs show, and if
    nothing but the best run is shown.

    Args:
        blocks: one run, with the scoring of its result if that reads private data.
        delta: in (0, 1).
        mean_runs: mean of the distribution, >= 1.
        distribution: of the number of runs.
        others: what was spent beside it.

    Source:
        Papernot and Steinke (2022), arXiv:2110.03620 (`RepeatAndSelectDpEvent`, RDP).
    """
    return selected_epsilon([Selection(aggregated(blocks), mean_runs, distribution)], delta, others=others)


def selected_epsilon(selections: Sequence[Selection], delta: float, *, others: Sequence[Spent] = ()) -> float:
    """`tuned_epsilon` of several searches, composed."""
    check_delta(delta)
    from dp_accounting import dp_event

    events = [_event(block) for block in single_contributions(aggregated(others), "RDP")]
    for blocks, mean_runs, distribution in selections:
        if distribution not in SHAPES:
            raise ConfigError(f"distribution: no {distribution!r}. Known: {', '.join(SHAPES)}.")
        if not (math.isfinite(mean_runs) and mean_runs >= 1):
            raise ConfigError(f"mean_runs: expected a number >= 1, got {mean_runs}")
        base = dp_event.ComposedDpEvent([_event(block) for block in single_contributions(tuple(blocks), "RDP")])
        events.append(dp_event.RepeatAndSelectDpEvent(base, mean_runs, SHAPES[distribution]))
    return float(_rdp(events).get_epsilon(delta))


def _event(block: Spent) -> Any:
    from dp_accounting import dp_event

    gaussian = dp_event.GaussianDpEvent(block.sigma)
    step = gaussian if block.sample_rate == 1 else dp_event.PoissonSampledDpEvent(block.sample_rate, gaussian)
    return dp_event.SelfComposedDpEvent(step, block.steps)


def _rdp(events: Sequence[Any]) -> Any:
    from absl import logging
    from dp_accounting.rdp import RdpAccountant

    accountant, verbosity = RdpAccountant(), logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # an order that doesn't converge is left out, which only loosens the bound
    try:
        for event in events:
            accountant.compose(event)
    finally:
        logging.set_verbosity(verbosity)
    return accountant
