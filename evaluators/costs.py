"""What each answer cost: by tokens where they are priced and counted, else by time.

Not an evaluator: what evaluators of one model and of two side by side share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowCosts:
    """Money by row.

    Attributes:
        each: of every row asked, in the prices' currency, shape (n,).
        known: rows of which it is known, shape (n,).
        basis: "tokens" or "time".
    """

    each: NDArray[np.float64]
    known: NDArray[np.bool_]
    basis: str


@dataclass(frozen=True, slots=True)
class Prices:
    """What a model's answers cost.

    Attributes:
        per_hour: an hour of its hardware; None: not stated.
        per_million_tokens: (read, written); None: not stated.
        currency: of both.
    """

    per_hour: float | None
    per_million_tokens: tuple[float, float] | None
    currency: str


def prices_of(subject: Subject) -> Prices:
    """A subject's prices."""
    return Prices(subject.price_per_hour, subject.price_per_million_tokens, subject.currency)


def row_costs(
    prices: Prices,
    *,
    seconds: NDArray[np.float64],
    tokens_in: NDArray[np.int64] | None,
    tokens_out: NDArray[np.int64] | None,
) -> RowCosts | str:
    """What each answer cost, or why nobody can tell."""
    million, hour, timed = prices.per_million_tokens, prices.per_hour, seconds > 0
    if million is not None and tokens_in is not None and tokens_out is not None:
        each = (tokens_in * million[0] + tokens_out * million[1]) / 1e6
        return RowCosts(each, np.ones(len(seconds), dtype=bool), "tokens")
    if hour is not None and timed.any():
        return RowCosts(seconds * hour / 3600, timed, "time")
    if million is None and hour is None:
        return "no price stated in the config"
    return "a price is stated, but its answers carry neither token counts nor times"
