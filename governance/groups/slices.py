"""The worst slices: conjunctions of declared features in which the model errs most, found on one half of the rows and
confirmed on the other.

Among thousands of slices some look bad by chance. So the search sees half of the clusters alone, a few candidates go
on, and what is said of them (error rate, interval, test) comes from the other half, which had no part in choosing
them; Benjamini and Hochberg's step keeps the share of false alarms among those reported below one in twenty.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, count
from typing import TYPE_CHECKING

import numpy as np

from governance.statistics.intervals import Rate, clustered_wilson
from governance.statistics.multiplicity import benjamini_hochberg

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHT = 0.95
"""How much a slice's error counts against its smallness: alpha of Sagadeeva and Boehm (2021), SliceLine, SIGMOD."""
FALSE_DISCOVERIES = 0.05
Coded = Mapping[str, tuple[Sequence[str], "NDArray[np.int64]"]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A slice of the search rows.

    Attributes:
        where: column -> value.
        rows: how many.
        errors: of those, wrong answers.
        score: SliceLine's: error and size weighed against each other; above 0 is worse than average.
    """

    where: Mapping[str, str]
    rows: int
    errors: int
    score: float


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A slice on the rows that had no part in finding it.

    Attributes:
        where: column -> value.
        inside: error rate in the slice.
        outside: error rate of all other rows.
        p: adjusted p-value of "no worse than the rest".
    """

    where: Mapping[str, str]
    inside: Rate
    outside: Rate
    p: float


def search(
    features: Coded, wrong: NDArray[np.bool_], *, depth: int = 3, min_rows: int = 50, most: int = 20
) -> tuple[list[Candidate], int]:
    """The slices with the highest scores, of all conjunctions of up to `depth` features with rows enough.

    Args:
        features: column -> its values, and each row's code, shape (n,).
        wrong: whether each row was answered wrongly, shape (n,).
        depth: conjunctions at most.
        min_rows: rows that a slice needs.
        most: how many slices to return at most.

    Returns:
        The slices, worst first, and how many were looked at. Nothing where no row, or every row, is wrong.
    """
    found: list[tuple[float, int, Candidate]] = []
    turn = count()
    looked, overall = 0, float(wrong.mean()) if len(wrong) else 0.0
    if not 0 < overall < 1:
        return [], 0
    for columns, rows, errors in _lattice(features, wrong, depth):
        large = np.flatnonzero(rows >= min_rows)
        looked += len(large)
        rate = errors[large] / rows[large]
        scores = WEIGHT * (rate / overall - 1) - (1 - WEIGHT) * (len(wrong) / rows[large] - 1)
        for place in np.flatnonzero(scores > 0):
            if len(found) == most and scores[place] <= found[0][0]:
                continue
            cell = int(large[place])
            values = np.unravel_index(cell, [len(features[name][0]) for name in columns])
            where = {name: str(features[name][0][int(code)]) for name, code in zip(columns, values, strict=True)}
            one = Candidate(where, int(rows[cell]), int(errors[cell]), float(scores[place]))
            # Of equal scores the one found first, the shorter conjunction, stays.
            (heapq.heappush if len(found) < most else heapq.heappushpop)(found, (one.score, -next(turn), one))
    return [one for _, _, one in sorted(found, key=lambda entry: entry[:2], reverse=True)], looked


def _lattice(
    features: Coded, wrong: NDArray[np.bool_], depth: int
) -> Iterator[tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and errors of every combination of values, for every combination of columns: one count each."""
    for size in range(1, min(depth, len(features)) + 1):
        for columns in combinations(features, size):
            cell, cells = np.zeros(len(wrong), dtype=np.int64), 1
            for name in columns:
                values, codes = features[name]
                cell = cell * len(values) + codes
                cells *= len(values)
            yield columns, np.bincount(cell, minlength=cells), np.bincount(cell[wrong], minlength=cells)


def halves(clusters: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Which rows are searched: whole clusters, half of them at random; the others confirm."""
    keys, codes = np.unique(clusters, return_inverse=True)
    searched = np.zeros(len(keys), dtype=bool)
    searched[np.random.default_rng(seed).permutation(len(keys))[: len(keys) // 2]] = True
    return searched[codes]


def confirm(
    candidates: Sequence[Candidate],
    features: Coded,
    wrong: NDArray[np.bool_],
    clusters: NDArray[np.int64],
    *,
    level: float,
    min_rows: int = 30,
) -> list[Confirmed]:
    """The candidates that the other rows confirm, worst first.

    Args:
        candidates: of `search`, which must not have seen these rows.
        features: of these rows, as above.
        wrong: of these rows, shape (n,).
        clusters: of these rows, shape (n,).
        level: of the intervals.
        min_rows: rows of these that a slice needs.
    """
    tested = []
    for one in candidates:
        inside = np.ones(len(wrong), dtype=bool)
        for name, value in one.where.items():
            values, codes = features[name]
            inside &= codes == list(values).index(value)
        if min(inside.sum(), (~inside).sum()) >= min_rows:
            tested.append((one, inside, _p_value(wrong, inside, clusters)))
    if not tested:
        return []
    adjusted = benjamini_hochberg([p for *_, p in tested])
    found = [
        Confirmed(one.where, _rate(wrong, clusters, inside, level), _rate(wrong, clusters, ~inside, level), float(p))
        for (one, inside, _), p in zip(tested, adjusted, strict=True)
        if p <= FALSE_DISCOVERIES
    ]
    return sorted(found, key=lambda one: -one.inside.value)


def _rate(wrong: NDArray[np.bool_], clusters: NDArray[np.int64], rows: NDArray[np.bool_], level: float) -> Rate:
    _, codes = np.unique(clusters[rows], return_inverse=True)
    return clustered_wilson(np.bincount(codes, wrong[rows]), np.bincount(codes), level)


def _p_value(wrong: NDArray[np.bool_], inside: NDArray[np.bool_], clusters: NDArray[np.int64]) -> float:
    """One-sided, of the difference between error rates with its cluster-robust error; exact for independent rows."""
    n, errors, rows = len(wrong), int(wrong.sum()), int(inside.sum())
    hits = int(wrong[inside].sum())
    keys, codes = np.unique(clusters, return_inverse=True)
    if len(keys) == n:
        from scipy.stats import hypergeom

        return float(hypergeom.sf(hits - 1, n, errors, rows))
    from scipy.special import stdtr

    here, there = hits / rows, (errors - hits) / (n - rows)
    influence = np.where(inside, (wrong - here) / rows, -(wrong - there) / (n - rows))
    variance = float((np.bincount(codes, influence) ** 2).sum()) * len(keys) / (len(keys) - 1)
    if variance == 0:
        return 1.0  # all alike on both sides: nothing can be told
    return float(stdtr(len(keys) - 1, -(here - there) / np.sqrt(variance)))
