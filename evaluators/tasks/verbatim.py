"""How much of a text is copied word for word from others: the longest run of tokens that stands in any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def longest_runs(texts: Sequence[Sequence[str]], corpus: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Per text, the most tokens in a row that also stand in a row in one text of the corpus, shape (n,).

    Sorts all places of all texts by what follows them: the longest run from a place is then shared with one of
    its two neighbours from the corpus. Exact, in O(N log N log L) for N tokens and a longest text of L.

    >>> longest_runs([["a", "b", "c"], ["d"]], [["x", "b", "c"], ["a"]]).tolist()
    [2, 0]

    Source:
        Manber & Myers (1993), Suffix arrays: a new method for on-line string searches, SIAM J. Comput. 22(5).
    """
    runs = np.zeros(len(texts), dtype=np.int64)
    if not texts or not corpus:
        return runs
    starts, places = _places([*corpus, *texts])
    first = starts[len(corpus)]  # of the texts
    ranks = _ranks(places, longest=max(len(text) for text in texts))
    order = np.argsort(ranks[-1], kind="stable")
    before, after = _neighbours(order, order < first)
    mine = np.flatnonzero(order >= first)
    shared = np.zeros(len(places), dtype=np.int64)
    for neighbour in (before[mine], after[mine]):
        known = (neighbour >= 0) & (neighbour < len(order))
        left, right = order[mine[known]], order[neighbour[known]]
        shared[left] = np.maximum(shared[left], _common(ranks, left, right))
    return np.maximum.reduceat(shared, starts[len(corpus) :])


def _places(texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each text starts, and all of them as one row of numbers; each ends with a number of its own.

    So no run reaches from one text into the next.
    """
    numbers: dict[str, int] = {}
    row: list[int] = []
    starts = np.zeros(len(texts), dtype=np.int64)
    for i, text in enumerate(texts):
        starts[i] = len(row)
        row += [numbers.setdefault(token, len(numbers)) for token in text]
        row.append(-1 - i)
    return starts, np.array(row, dtype=np.int64)


def _ranks(places: NDArray[np.int64], longest: int) -> list[NDArray[np.int64]]:
    """At [k], each place's rank by the 2^k tokens from there on; equal only where those are equal.

    The last tells any two places apart of which one is in a text of up to `longest` tokens.
    """
    ranks = [np.unique(places, return_inverse=True)[1]]
    while 2 ** (len(ranks) - 1) <= longest:
        half, last = 2 ** (len(ranks) - 1), ranks[-1]
        following = np.zeros_like(last)  # of the last places any number will do: their text's end tells them apart
        following[:-half] = last[half:]
        ranks.append(np.unique(last * len(last) + following, return_inverse=True)[1])
    return ranks


def _neighbours(order: NDArray[np.int64], corpus: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per entry of `order`, the nearest entries before and after it that are of the corpus; -1 or n: none."""
    own = np.arange(len(order))
    before = np.maximum.accumulate(np.where(corpus, own, -1))
    after = np.minimum.accumulate(np.where(corpus, own, len(order))[::-1])[::-1]
    return before, after


def _common(ranks: Sequence[NDArray[np.int64]], left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens from two places on are equal, by halves; it ends at a text's end, which equals nothing else."""
    length = np.zeros_like(left)
    for k in range(len(ranks) - 1, -1, -1):
        length += np.where(ranks[k][left + length] == ranks[k][right + length], 2**k, 0)
    return length
