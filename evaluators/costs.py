"""What each answer cost: by tokens where they are priced and counted, else by time.

Not an evaluator: what evaluators of one model and of two side by side share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import Predictions, Subject

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RowCosts:
    """Money by row.

    Attributes:
        each: of every row asked, in the subject's currency, shape (n,).
        known: rows of which it is known, shape (n,).
        basis: "tokens" or "time".
    """

    each: NDArray[np.float64]
    known: NDArray[np.bool_]
    basis: str


def row_costs(subject: Subject, answers: Predictions) -> RowCosts | str:
    """What each answer cost, or why nobody can tell."""
    prices, hour = subject.price_per_million_tokens, subject.price_per_hour
    read, written, timed = answers.tokens_in, answers.tokens_out, answers.seconds > 0
    if prices is not None and read is not None and written is not None:
        each = (read * prices[0] + written * prices[1]) / 1e6
        return RowCosts(each, np.ones(len(answers), dtype=bool), "tokens")
    if hour is not None and timed.any():
        return RowCosts(answers.seconds * hour / 3600, timed, "time")
    if prices is None and hour is None:
        return "no price stated in the config"
    return "a price is stated, but its answers carry neither token counts nor times"
