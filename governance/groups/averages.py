"""Averages over classes by group, for tasks of several classes: resampled from the counts, not from the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from governance.groups.asked import Asked
from governance.groups.clusters import Counted, table_of
from governance.groups.counts import GroupCounts
from governance.groups.metrics import macro
from governance.measure import ANY, Outcome, Unit
from governance.statistics.bootstrap import ClusterBootstrap, percentile_interval
from governance.statistics.intervals import spread_interval
from governance.statistics.multiplicity import sidak
from governance.statistics.resample import multinomial_draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2_000
AVERAGES: Mapping[str, str] = {"macro_recall": "true_positive_rate", "macro_precision": "precision"}
_METHOD = f"bootstrap on counts, {DRAWS} draws"


def macro_outcomes(counted: Counted, asked: Asked) -> list[Outcome]:
    """Recall and precision averaged over the classes, of every group, and the largest gap of each."""
    table = table_of(counted)
    found: list[Outcome] = []
    for name, metric in AVERAGES.items():
        values, draws = {}, {}
        for cell, names in enumerate(table.cells):
            where = asked.slice(dict(zip(table.columns, names, strict=True)))
            reason = _too_small(table.counts[cell], name, asked)
            if reason is not None:
                found.append(asked.missing(name, where, reason))
                continue
            values[cell] = float(macro(table.counts[cell], metric))
            draws[cell] = macro(_draws(counted, cell), metric)
            ends = percentile_interval(draws[cell], values[cell], level=asked.level, clusters=_clusters(counted, cell))
            rows = int(table.counts[cell].sum())
            found.append(
                asked.measured(name, where, values[cell], ends, n=rows, unit=Unit.SCORE, method=_METHOD, counts={})
            )
        everyone = asked.slice(dict.fromkeys(table.columns, ANY))
        if len(values) < 2:
            held = f"{len(values)} of {len(table.cells)} groups large enough, 2 needed"
            found.append(asked.missing(f"{name}.difference", everyone, held))
            continue
        each = sidak(asked.level, len(values))
        bounds = [
            percentile_interval(draws[cell], values[cell], level=each, clusters=_clusters(counted, cell))
            for cell in values
        ]
        found.append(
            asked.measured(
                f"{name}.difference", everyone, max(values.values()) - min(values.values()), spread_interval(bounds),
                n=int(table.counts[list(values)].sum()), unit=Unit.DIFFERENCE,
                method=f"between groups; Šidák-simultaneous {_METHOD}",
                counts={"groups": len(values), "groups_too_small": len(table.cells) - len(values)},
            )
        )  # fmt: skip
    return found


def _too_small(counts: NDArray[np.int64], name: str, asked: Asked) -> str | None:
    rows = int(counts.sum())
    if rows < asked.min_rows:
        return f"{rows} rows, {asked.min_rows} needed"
    if (counts.sum(axis=1) < asked.min_class_rows).any():
        return f"a class has fewer than {asked.min_class_rows} rows"
    if name == "macro_precision" and (counts.sum(axis=0) == 0).any():
        return "a class is never answered"
    return None


def _draws(counted: Counted, cell: int) -> NDArray[np.int64]:
    """Resampled tables of one cell: (draws, classes, classes). Whole clusters are drawn where there are any."""
    table = table_of(counted)
    if isinstance(counted, GroupCounts):
        return multinomial_draws(table.counts[cell], DRAWS, seed=cell)
    k = len(table.classes)
    sums, _ = counted.tally(np.eye(k * k, dtype=np.int64), cell)
    boot = ClusterBootstrap(np.arange(sums.shape[1]), draws=DRAWS, seed=cell)
    return boot.sums(sums.T.astype(float)).astype(np.int64).reshape(DRAWS, k, k)


def _clusters(counted: Counted, cell: int) -> int:
    table = table_of(counted)
    if isinstance(counted, GroupCounts):
        return int(table.counts[cell].sum(axis=1).min())
    k = len(table.classes)
    sums, _ = counted.tally(np.repeat(np.eye(k, dtype=np.int64), k, axis=1), cell)
    return int((sums > 0).sum(axis=1).min())
