"""How well rows hide behind each other: rows that share every quasi-identifier form a cell, and small cells give away.

Counts are exact for the rows given. They say nothing of rows outside them: a row that is alone here may have
thousands of doubles in the population, and the reverse never holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cells:
    """The rows of a data set, cut into cells of rows that nothing tells apart but a sensitive value.

    Attributes:
        rows: rows in all, >= 1.
        cells: cells that hold a row.
        smallest: rows in the smallest cell: the k for which the rows are k-anonymous.
        below_k: rows in cells of fewer than the k asked for.
        unique: rows that are alone in their cell.
        fewest_values: least number of different sensitive values in a cell: the rows' distinct l-diversity.
        one_value: rows in cells whose rows all have the same sensitive value, cells of one row included.
    """

    rows: int
    cells: int
    smallest: int
    below_k: int
    unique: int
    fewest_values: int
    one_value: int

    @property
    def risk(self) -> float:
        """Mean over rows of 1 / size of the row's cell, in (0, 1]: the prosecutor's expected rate of success.

        He knows that the person is among the rows, knows the quasi-identifiers, and guesses within the cell.
        Each cell adds up to one, so the mean is cells per row.
        """
        return self.cells / self.rows


def cells_of(quasi_identifiers: Sequence[Sequence[Hashable]], sensitive: Sequence[Hashable], *, k: int) -> Cells:
    """Cut rows into cells and count.

    Args:
        quasi_identifiers: at least one column of n values; None is a value like any other, so rows that lack one
            hide behind each other alone.
        sensitive: what a cell may give away, n values.
        k: least size of a cell that counts as large enough, >= 1.

    Raises:
        ValueError: no column, no rows, columns of different lengths, or k below 1.

    Source:
        Samarati and Sweeney (1998) for k-anonymity; El Emam and Dankar (2008), JAMIA 15(5), for the prosecutor's
        risk; Machanavajjhala et al. (2007), ACM TKDD 1(1), for l-diversity.

    >>> cells = cells_of([["a", "a", "b"]], [1, 2, 1], k=2)
    >>> cells.smallest, cells.unique, round(cells.risk, 3)
    (1, 1, 0.667)
    """
    if not quasi_identifiers or not sensitive:
        raise ValueError("expected at least one column and one row")
    if k < 1:
        raise ValueError(f"expected k >= 1, got {k}")
    sizes = Counter(zip(*quasi_identifiers, strict=True))
    values = Counter(cell for cell, _ in set(zip(zip(*quasi_identifiers, strict=True), sensitive, strict=True)))
    return Cells(
        rows=len(sensitive),
        cells=len(sizes),
        smallest=min(sizes.values()),
        below_k=sum(size for size in sizes.values() if size < k),
        unique=sum(size == 1 for size in sizes.values()),
        fewest_values=min(values.values()),
        one_value=sum(size for cell, size in sizes.items() if values[cell] == 1),
    )
