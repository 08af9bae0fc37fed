"""What an evaluator of a table sees: decisions that somebody else's system took, one row each, and who they concern.

Prices, rankings, scores and selections have no texts, no model that could be asked and no training rows; an audit of
a table reads them from a file (`governance.tableaudit`) and hands them to one evaluator, the one of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from governance.measure import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Rows:
    """Columns of length n.

    Attributes:
        model: what the outcomes are called after.
        columns: role -> values: float64 where the role holds numbers, with NaN where the file has none; else object,
            `str | None`.
        groups: sensitive column -> values, object arrays of `str | None`.
        clusters: shape (n,), int64; rows with one code are not independent. Without a cluster column each row is its
            own.
        level: confidence level of every interval.
        seed: of everything random.
    """

    model: str
    columns: Mapping[str, NDArray]  # type: ignore[type-arg]
    groups: Mapping[str, NDArray]  # type: ignore[type-arg]
    clusters: NDArray  # type: ignore[type-arg]
    level: float = 0.95
    seed: int = 0

    def __len__(self) -> int:
        return len(self.clusters)


class TableEvaluator(Protocol):
    """Measures one kind of decision. A frozen dataclass whose fields are its settings; same rows, same outcomes.

    Attributes:
        task: the outcomes' `task`.
        numbers: roles that hold numbers -> whether the table must have them.
        names: roles that hold ids or categories -> whether the table must have them.
    """

    task: ClassVar[str]
    numbers: ClassVar[Mapping[str, bool]]
    names: ClassVar[Mapping[str, bool]]

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """Outcomes by group, and the gaps between groups: a number, a fact, or why there is neither."""
        ...
