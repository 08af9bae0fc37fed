"""From counts to outcomes: every rate of every group, the gaps between groups, and why some of them are missing.

A gap's interval is built from intervals that hold for all its groups at once (Šidák), so it stays honest however many
groups there are: the plug-in gap grows with their number even where all are alike, and a bootstrap doubles the bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from governance.groups.asked import Asked
from governance.groups.averages import macro_outcomes
from governance.groups.clusters import Counted, per_group, rates, table_of
from governance.groups.metrics import AMONG, EQUALIZED_ODDS, RATES, outcomes, rate, ratio, right
from governance.measure import ANY, Outcome, Slice, Unit
from governance.statistics.intervals import Bounds, Rate, least_ratio_interval, spread_interval
from governance.statistics.multiplicity import sidak
from governance.statistics.simultaneous import Contrast, against_best, against_rest

WILSON = "Wilson on the effective sample size (Rao-Scott)"
WILSON_GAP = f"between groups; Šidák-simultaneous {WILSON}"
MOVER = "MOVER from Šidák-simultaneous Clopper-Pearson"


def group_outcomes(counted: Counted, asked: Asked) -> list[Outcome]:
    """All rates by the columns of a table, and the gaps between its groups.

    With a positive class: its selection rate, true- and false-positive rate and precision, and equalised odds. Without
    one, the same of each class against the rest. Accuracy over all classes in any case.
    """
    table = table_of(counted)
    if table.rows == 0:
        return none_measured(table.columns, asked, "no held-out row was answered")
    found = _metric(counted, "accuracy", replace(asked, positive=None))
    views = [asked]
    if asked.positive is None:
        views = [replace(asked, positive=code, about=name) for code, name in enumerate(table.classes)]
    for view in views:
        for metric in RATES:
            if metric != "accuracy":
                found += _metric(counted, metric, view)
        found += _equalized_odds(counted, view)
    return found if asked.positive is not None else [*found, *macro_outcomes(counted, asked)]


def combined(columns: Sequence[str], depth: int) -> list[tuple[str, ...]]:
    """Single columns, then pairs, up to combinations of `depth` columns."""
    return [chosen for size in range(1, depth + 1) for chosen in combinations(columns, size)]


def gaps_within(both: Counted, control: str, asked: Asked) -> list[Outcome]:
    """The gaps within each value of a control, the first of the table's two columns.

    Single rates are left out: they are those of the intersection.
    """
    found: list[Outcome] = []
    for value in dict.fromkeys(cell[0] for cell in table_of(both).cells):
        here = replace(asked, within=Slice.of({control: value}))
        found += [one for one in group_outcomes(both.where(control, value), here) if one.metric.count(".") > 1]
    return found


def none_measured(columns: Sequence[str], asked: Asked, reason: str) -> list[Outcome]:
    """Every gap, not measured."""
    where = asked.slice(dict.fromkeys(columns, ANY))
    names = [f"{metric}.{kind}" for metric in (*RATES, "equalized_odds") for kind in ("difference", "ratio")]
    return [asked.missing(name, where, reason) for name in names]


def _metric(counted: Counted, metric: str, asked: Asked) -> list[Outcome]:
    table = table_of(counted)
    large, reasons = _large(counted, metric, asked)
    found: list[Outcome] = [
        asked.missing(metric, _where(table.columns, table.cells[cell], asked), reason)
        for cell, reason in reasons.items()
    ]
    own = rates(counted, metric, positive=asked.positive, level=asked.level)
    for cell in large:
        one = own[cell]
        assert one is not None  # noqa: S101 - a large group has rows
        found.append(
            asked.measured(
                metric, _where(table.columns, table.cells[cell], asked), one.value, one.bounds, n=one.n,
                unit=Unit.RATE, method=WILSON, counts=_counts(one),
            )
        )  # fmt: skip
    return [*found, *_gaps(counted, metric, large, asked), *_contrasts(counted, metric, large, asked)]


def _large(counted: Counted, metric: str, asked: Asked) -> tuple[list[int], dict[int, str]]:
    """The cells that are large enough for a metric; of the others, why not."""
    table = table_of(counted)
    if asked.positive is None:
        _, among = right(table.counts)
    else:
        _, among = rate(outcomes(table.counts, asked.positive), metric)
    rows = table.counts.sum(axis=(1, 2))
    reasons = {}
    for cell, (n, share) in enumerate(zip(rows.tolist(), among.tolist(), strict=True)):
        if n < asked.min_rows:
            reasons[cell] = f"{n} rows, {asked.min_rows} needed"
        elif metric in AMONG and share < asked.min_class_rows:
            reasons[cell] = f"{share} {AMONG[metric]} rows among {n}, {asked.min_class_rows} needed"
    return [cell for cell in range(len(rows)) if cell not in reasons], reasons


def _gaps(counted: Counted, metric: str, large: Sequence[int], asked: Asked) -> list[Outcome]:
    """Largest minus smallest, and smallest over largest, over the groups that are large enough."""
    table = table_of(counted)
    where = asked.slice(dict.fromkeys(table.columns, ANY))
    if len(large) < 2:
        held = f"{len(large)} of {len(table.cells)} groups large enough, 2 needed"
        return [asked.missing(f"{metric}.{kind}", where, held) for kind in ("difference", "ratio")]
    joint = _at(counted, metric, large, asked, sidak(asked.level, len(large)))
    values, bounds = np.array([one.value for one in joint]), [one.bounds for one in joint]
    more = {
        "n": sum(one.n for one in joint),
        "method": WILSON_GAP,
        "counts": {"groups": len(large), "groups_too_small": len(table.cells) - len(large)},
    }
    gap = float(values.max() - values.min())
    found: list[Outcome] = [
        asked.measured(f"{metric}.difference", where, gap, spread_interval(bounds), unit=Unit.DIFFERENCE, **more)
    ]
    if values.max() == 0:
        none = "the rate is 0 in every group, so no ratio is defined"
        return [*found, asked.missing(f"{metric}.ratio", where, none)]
    least = least_ratio_interval(bounds)
    return [*found, asked.measured(f"{metric}.ratio", where, ratio(values), least, unit=Unit.RATIO, **more)]


def _at(counted: Counted, metric: str, cells: Sequence[int], asked: Asked, level: float) -> list[Rate]:
    found = rates(counted, metric, positive=asked.positive, level=level)
    return [one for cell in cells if (one := found[cell]) is not None]


def _equalized_odds(counted: Counted, asked: Asked) -> list[Outcome]:
    """The larger of both gaps and the smaller of both ratios; its interval holds whenever all rates' intervals do."""
    table = table_of(counted)
    where = asked.slice(dict.fromkeys(table.columns, ANY))
    large = {metric: _large(counted, metric, asked)[0] for metric in EQUALIZED_ODDS}
    if min(map(len, large.values())) < 2:
        held = f"{min(map(len, large.values()))} of {len(table.cells)} groups large enough, 2 needed"
        return [asked.missing(f"equalized_odds.{kind}", where, held) for kind in ("difference", "ratio")]
    each = sidak(asked.level, sum(map(len, large.values())))
    joint = {metric: _at(counted, metric, large[metric], asked, each) for metric in EQUALIZED_ODDS}
    values = {metric: np.array([one.value for one in ones]) for metric, ones in joint.items()}
    spreads = [spread_interval([one.bounds for one in ones]) for ones in joint.values()]
    more = {
        "n": sum(one.n for ones in joint.values() for one in ones),
        "method": WILSON_GAP,
        "counts": {
            "groups": min(map(len, large.values())),
            "groups_too_small": len(table.cells) - min(map(len, large.values())),
        },
    }
    gap = max(float(each.max() - each.min()) for each in values.values())
    ends = Bounds(max(one.low for one in spreads), max(one.high for one in spreads))
    found: list[Outcome] = [asked.measured("equalized_odds.difference", where, gap, ends, unit=Unit.DIFFERENCE, **more)]
    if any(each.max() == 0 for each in values.values()):
        none = "the rate is 0 in every group, so no ratio is defined"
        return [*found, asked.missing("equalized_odds.ratio", where, none)]
    ratios = [least_ratio_interval([one.bounds for one in ones]) for ones in joint.values()]
    least = Bounds(min(one.low for one in ratios), min(one.high for one in ratios))
    value = min(ratio(each) for each in values.values())
    return [*found, asked.measured("equalized_odds.ratio", where, value, least, unit=Unit.RATIO, **more)]


def _contrasts(counted: Counted, metric: str, large: Sequence[int], asked: Asked) -> list[Outcome]:
    """Each group against the rest; for the selection rate also against the best, the impact ratio."""
    table = table_of(counted)
    if len(table.columns) != 1 or len(large) < 2:
        return []
    successes, rows = per_group(counted, metric, positive=asked.positive, cells=large)
    contrasts = [("rest", against_rest(successes, rows, level=asked.level))]
    if metric == "selection_rate":
        contrasts.append(("best", against_best(successes, rows, level=asked.level)))
    sizes = rows.reshape(-1, len(large)).sum(axis=0)
    found: list[Outcome] = []
    for other, each in contrasts:
        for cell, n, one in zip(large, sizes, each, strict=True):
            found += _compared(
                f"{metric}.%s_to_{other}", _where(table.columns, table.cells[cell], asked), int(n), one, asked
            )
    return found


def _compared(name: str, where: Slice, n: int, one: Contrast, asked: Asked) -> list[Outcome]:
    """One group's difference and ratio to another rate."""
    counts = {"rate": one.rate, "other_rate": one.other}
    found: list[Outcome] = [
        asked.measured(
            name % "difference", where, one.difference, one.difference_bounds, n=n, unit=Unit.DIFFERENCE,
            method=MOVER, counts=counts,
        )
    ]  # fmt: skip
    if one.ratio is None:
        return [*found, asked.missing(name % "ratio", where, "the other rate is 0, so no ratio is defined")]
    ends = one.ratio_bounds
    return [
        *found,
        asked.measured(name % "ratio", where, one.ratio, ends, n=n, unit=Unit.RATIO, method=MOVER, counts=counts),
    ]


def _where(columns: Sequence[str], cell: Sequence[str], asked: Asked) -> Slice:
    return asked.slice(dict(zip(columns, cell, strict=True)))


def _counts(one: Rate) -> dict[str, float]:
    return {"successes": round(one.value * one.n), "rows": one.n, "clusters": one.clusters}
