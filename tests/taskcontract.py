"""What every task of words and rankings keeps to, whatever its rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evaluators.tasks.base import Item, Reply, Scores, Task


def value(found: Scores, rows: Sequence[int] | slice = slice(None)) -> float:
    return float(found.combine(found.table[rows].sum(axis=0)))


def scored(task: Task, items: Sequence[Item], replies: Sequence[Reply], language: str) -> dict[str, Scores]:
    found = list(task.scores(items, replies, language=language))
    named = {one.metric: one for one in found}
    assert len(named) == len(found)
    return named


def check(task: Task, items: Sequence[Item], replies: Sequence[Reply], language: str) -> dict[str, Scores]:
    """Values are within reach; rows are scored alone, so that their order and company don't matter."""
    whole = scored(task, items, replies, language)
    assert task.main in whole
    half = len(items) // 2
    cuts = [slice(None, half), slice(half, None), slice(None, None, -1)]
    parts = [scored(task, items[cut], replies[cut], language) for cut in cuts]
    for metric, found in whole.items():
        assert len(found.table) == len(items)
        assert np.isfinite(found.table).all()
        assert np.array_equal(np.vstack([parts[0][metric].table, parts[1][metric].table]), found.table)
        assert np.array_equal(parts[2][metric].table[::-1], found.table)
        for one in [value(found), *(value(found, [row]) for row in range(len(items)))]:
            low, high = found.reach
            assert np.isnan(one) or ((low is None or low <= one) and (high is None or one <= high + 1e-12))
    # Models that answered different rows are compared by the names of the metrics, in a fixed order.
    assert [list(part) for part in parts] == [list(whole)] * 3
    assert all(np.isnan(value(found)) for found in scored(task, [], [], language).values())
    return whole
