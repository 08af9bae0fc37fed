"""From a task's scores per row to an audit's outcomes: figures, differences between models, gaps between groups.

The same for every task. Rows that failed are counted by `quality.coverage`; every other figure speaks of
answered rows and says how many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.bygroup import mean_outcomes, rate_outcomes
from evaluators.costs import Prices
from evaluators.cuts import NO_GROUPS, Cut
from evaluators.table import Rows
from evaluators.tasks.base import Item, Reply, Scores, Task, ratio
from evaluators.tasks.own import Own
from evaluators.tasks.service import Sheet, cost, latency, versions_reported
from governance.comparison import detectable, holm_adjusted, paired_p
from governance.measure import Outcome, Unit
from governance.statistics.bootstrap import ClusterBootstrap, percentile_interval
from governance.statistics.intervals import open_ends
from governance.statistics.paired import mcnemar

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_SHARED = "no row was answered by both models"
MIN_ROWS = 30  # of a group that is spoken of


@dataclass(frozen=True)
class Answered:
    """One model's answers to the rows that it was asked, as columns of length m.

    Attributes:
        model: whose.
        index: positions of the rows among all, ascending.
        replies: None where a row failed.
        seconds: per row; 0 where it has none.
        tokens_in: tokens read; None where the model doesn't count.
        tokens_out: tokens written.
        prices: what its answers cost.
        versions: name and version that its endpoint reported -> messages; None: it is behind no endpoint.
        more: metrics that need no answer, over all rows asked; see `Scores`.
    """

    model: str
    index: NDArray[np.int64]
    replies: tuple[Reply | None, ...]
    seconds: NDArray[np.float64]
    tokens_in: NDArray[np.int64] | None
    tokens_out: NDArray[np.int64] | None
    prices: Prices
    versions: Mapping[str, int] | None = None
    more: tuple[Scores, ...] = ()

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which rows did not fail, shape (m,)."""
        return np.array([reply is not None for reply in self.replies], dtype=bool)


@dataclass(frozen=True)
class Asked:
    """What all models of an audit were asked.

    Attributes:
        task: how answers are scored.
        items: the rows.
        clusters: of the rows, shape (n,); rows with one code are not independent.
        groups: sensitive column -> value per row.
        language: of the rows.
        level: of the intervals.
        seed: of the resampling.
        draws: of the resampling.
        own: the user's own metrics.
    """

    task: Task
    items: Sequence[Item]
    clusters: NDArray[np.int64]
    groups: Mapping[str, Sequence[str | None]]
    language: str
    level: float
    seed: int
    draws: int
    own: Sequence[Own] = ()


@dataclass(frozen=True)
class _On:
    """One metric of one model.

    Attributes:
        rows: positions of the rows that it was taken on, ascending, shape (a,).
        scores: of those rows.
    """

    rows: NDArray[np.int64]
    scores: Scores


@dataclass(frozen=True)
class _Scored:
    """A model's rows, scored: metric -> scores and where."""

    answers: Answered
    scores: Mapping[str, _On]

    def sheet(self, asked: Asked, rows: NDArray[np.int64]) -> Sheet:
        """For figures of these rows."""
        return Sheet(self.answers.model, asked.task.name, asked.clusters[rows], asked.level, asked.seed, asked.draws)


def measured(asked: Asked, models: Sequence[Answered], *, incumbent: str | None) -> list[Outcome]:
    """Every metric of every model, differences from the incumbent, and gaps between groups."""
    scored = {answers.model: _scored(asked, answers) for answers in models}
    found: list[Outcome] = []
    for one in scored.values():
        found += _figures(asked, one)
    if incumbent is not None:
        others = [one for name, one in scored.items() if name != incumbent]
        differences = [outcome for one in others for outcome in _differences(asked, one, scored[incumbent])]
        found += holm_adjusted(differences)
    for one in scored.values():
        found += _gaps(asked, one)
    return found


def _scored(asked: Asked, answers: Answered) -> _Scored:
    kept = [place for place, reply in enumerate(answers.replies) if reply is not None]
    rows = answers.index[kept]
    items, replies = [asked.items[i] for i in rows], [reply for reply in answers.replies if reply is not None]
    scores = list(asked.task.scores(items, replies, language=asked.language)) if kept else []
    scores += [own(items, replies, language=asked.language) for own in asked.own if kept]
    found = {one.metric: _On(rows, one) for one in scores}
    return _Scored(answers, found | {one.metric: _On(answers.index, one) for one in answers.more})


def full_name(metric: str) -> str:
    """A metric's name in the record: one with a dot has its family already."""
    return metric if "." in metric else f"quality.{metric}"


def _figures(asked: Asked, one: _Scored) -> list[Outcome]:
    answers = one.answers
    sheet = one.sheet(asked, answers.index)
    if len(answers.index) == 0:
        return [sheet.missing("quality.coverage", "no row was asked")]
    everyone = np.ones(len(answers.index), dtype=bool)
    found = [sheet.rate("quality.coverage", answers.answered, everyone)]
    if not answers.answered.any():
        found.append(sheet.missing(full_name(asked.task.main), f"none of the {len(everyone)} rows asked was answered"))
    found += [figure(one.sheet(asked, on.rows), on.scores) for on in one.scores.values()]
    found += latency(sheet, answers.seconds, answers.answered)
    tokens = {"tokens_in": answers.tokens_in, "tokens_out": answers.tokens_out}
    found.append(cost(sheet, answers.prices, seconds=answers.seconds, **tokens))
    return found + versions_reported(answers.versions, model=answers.model, task=asked.task.name)


def figure(sheet: Sheet, scores: Scores) -> Outcome:
    """A metric of answered rows; `sheet` holds their clusters."""
    metric, counted = full_name(scores.metric), scores.table.any(axis=1)
    if scores.hits:
        among = scores.table[:, 1] > 0
        if not among.any():
            return sheet.missing(metric, "it is defined for none of the answered rows")
        return sheet.rate(metric, scores.table[:, 0] > 0, among, method=scores.method)
    value = float(scores.combine(scores.table.sum(axis=0)))
    if not np.isfinite(value):
        return sheet.missing(metric, "it is defined for none of the answered rows")
    boot = ClusterBootstrap(sheet.clusters, draws=sheet.draws, seed=sheet.seed)
    clusters = len(np.unique(boot.codes[counted]))
    draws = scores.combine(boot.sums(boot.table(scores.table)))
    bounds = percentile_interval(draws, value, level=sheet.level, clusters=clusters, reach=_reach(scores))
    method = f"{scores.method}; cluster bootstrap, {sheet.draws} draws"
    counts = {"rows": int(counted.sum()), "clusters": clusters}
    return sheet.measured(
        metric, value, open_ends(bounds), n=int(counted.sum()), unit=scores.unit, method=method, counts=counts
    )


def _reach(scores: Scores) -> tuple[float, float]:
    low, high = scores.reach
    return (-np.inf if low is None else low, np.inf if high is None else high)


def _differences(asked: Asked, one: _Scored, reference: _Scored) -> list[Outcome]:
    """`one - reference` of every metric that has a better side, on the rows on which both have it."""
    name, found = reference.answers.model, list[Outcome]()
    told = {**reference.scores, **one.scores}
    for metric, on in told.items():
        if on.scores.better is None:
            continue
        mine, theirs = one.scores.get(metric), reference.scores.get(metric)
        if mine is None or theirs is None:
            lacking = one.answers.model if mine is None else name
            reason = f"{lacking} has no figure of it"
            gap = f"{full_name(metric)}.difference"
            found.append(one.sheet(asked, on.rows).missing(gap, reason, reference=name))
        else:
            found.append(_paired(asked, one, mine, theirs, name))
    if not told:
        gap = f"{full_name(asked.task.main)}.difference"
        found.append(one.sheet(asked, one.answers.index).missing(gap, _NO_SHARED, reference=name))
    return found


def _paired(asked: Asked, one: _Scored, mine: _On, theirs: _On, reference: str) -> Outcome:
    shared, left, right = np.intersect1d(mine.rows, theirs.rows, assume_unique=True, return_indices=True)
    sheet = one.sheet(asked, shared)
    if not shared.size:
        return sheet.missing(f"{full_name(mine.scores.metric)}.difference", _NO_SHARED, reference=reference)
    counts = {"only_model": len(mine.rows) - len(shared), "only_reference": len(theirs.rows) - len(shared)}
    return difference(sheet, mine.scores, mine.scores.table[left], theirs.scores.table[right], reference, counts)


def difference(
    sheet: Sheet,
    scores: Scores,
    mine: NDArray[np.float64],
    theirs: NDArray[np.float64],
    reference: str,
    counts: Mapping[str, float],
) -> Outcome:
    """One paired difference: both models resampled by the same draws of clusters.

    Args:
        sheet: of the rows that both models answered.
        scores: the metric, of one of the models.
        mine: that model's table of those rows.
        theirs: the reference's.
        reference: its name.
        counts: what is told beside it.
    """
    metric = f"{full_name(scores.metric)}.difference"
    value = float(scores.combine(mine.sum(axis=0)) - scores.combine(theirs.sum(axis=0)))
    if not np.isfinite(value):
        return sheet.missing(metric, "one of the models has no defined value on the shared rows", reference=reference)
    boot = ClusterBootstrap(sheet.clusters, draws=sheet.draws, seed=sheet.seed)
    clusters = len(np.unique(boot.codes[mine.any(axis=1) | theirs.any(axis=1)]))
    draws = scores.combine(boot.sums(boot.table(mine))) - scores.combine(boot.sums(boot.table(theirs)))
    low, high = _reach(scores)
    reach = (low - high, high - low)
    bounds = percentile_interval(draws, value, level=sheet.level, clusters=clusters, reach=reach)
    told = {"clusters": clusters, **counts, **_surprise(scores, mine, theirs, draws, value, boot, clusters)}
    found = detectable(
        draws, clusters=clusters, level=sheet.level, answers=int(mine[:, 1].sum()) if scores.hits else None
    )
    if found is not None:
        told["detectable"] = found
    return sheet.measured(
        metric,
        value,
        open_ends(bounds),
        n=len(mine),
        unit=Unit.DIFFERENCE if scores.unit in (Unit.RATE, Unit.SCORE) else scores.unit,
        method=f"paired cluster bootstrap, {sheet.draws} draws",
        counts=told,
        reference=reference,
    )


def _surprise(
    scores: Scores,
    mine: NDArray[np.float64],
    theirs: NDArray[np.float64],
    draws: NDArray[np.float64],
    value: float,
    boot: ClusterBootstrap,
    clusters: int,
) -> dict[str, float]:
    """The p of "no difference": McNemar's where rows are right or wrong, independent, and the same for both models."""
    if scores.hits and boot.count == len(mine) and np.array_equal(mine[:, 1], theirs[:, 1]):
        only_mine = int((mine[:, 0] > theirs[:, 0]).sum())
        only_theirs = int((mine[:, 0] < theirs[:, 0]).sum())
        p = mcnemar(only_mine, only_theirs)
        return {"only_model_right": only_mine, "only_reference_right": only_theirs, "mcnemar_p": p, "p": p}
    return {"p": paired_p(draws, value, clusters=clusters)}


def _gaps(asked: Asked, one: _Scored) -> list[Outcome]:
    """The task's main metric by group, and how far groups are apart."""
    on, gap = one.scores.get(asked.task.main), f"fairness.{asked.task.main}.difference"
    sheet = one.sheet(asked, one.answers.index)
    if not asked.groups:
        return [sheet.missing(gap, NO_GROUPS)]
    if on is None or on.scores.combine is not ratio or not on.scores.table[:, 1].any():
        return [sheet.missing(gap, "it is defined for none of the answered rows")]
    main = on.scores
    kept = main.table[:, 1] > 0
    rows = Rows(
        model=one.answers.model,
        columns={},
        groups={name: np.array([values[i] for i in on.rows], dtype=object) for name, values in asked.groups.items()},
        clusters=asked.clusters[on.rows],
        level=asked.level,
        seed=asked.seed,
    )
    found: list[Outcome] = []
    for column in sorted(asked.groups):
        cut = Cut.of(rows, (column,), kept, task=asked.task.name, min_rows=MIN_ROWS)
        metric = f"fairness.{main.metric}"
        if main.hits:
            found += rate_outcomes(cut, metric, main.table[kept, 0] > 0)
        else:
            found += mean_outcomes(
                cut, metric, main.table[kept, 0] / main.table[kept, 1], unit=main.unit, difference=Unit.DIFFERENCE,
                reach=main.reach,
            )  # fmt: skip
    return found
