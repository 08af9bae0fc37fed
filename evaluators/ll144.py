"""The tables of New York City's Local Law 144: selection or scoring rates and impact ratios by sex, race and both.

How a bias audit of an automated employment decision tool is to be computed, as we read the Department of Consumer and
Worker Protection's final rule (6 RCNY 5-300 to 5-303, enforced since 5 July 2023). Our reading, and not legal advice:
the rule also says who may audit, on which data, and what to publish. The intervals are ours; the rule asks for none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.bygroup import one_rate, rate, tallies
from evaluators.cuts import Cut, left_out
from evaluators.table import Rows
from governance.errors import ConfigError
from governance.groups.counts import MISSING
from governance.measure import EVERYONE, Outcome, Unit
from governance.registry import nearest
from governance.statistics.simultaneous import against_best

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_EXCLUDED = 0.02
"""The rule lets categories below 2% of the data be left out of impact ratios, and no others (5-301(d))."""
KINDS = {"selected": "fairness.selection", "score": "fairness.scoring"}
_BEST = "rate over the highest category's; MOVER-R from Šidák-simultaneous Clopper-Pearson"
_UNKNOWN = "rows of an unknown category, left out of this table as the rule says"
_ZERO = "the rate is 0 in every category, so no ratio is defined"


@dataclass(frozen=True)
class SelectionTables:
    """Rates and impact ratios by sex, by race or ethnicity, and by their intersections.

    - Selection rate (5-301(b)): the share of a category's candidates that was selected.
    - Scoring rate (5-301(c)): the share of a category's candidates with a score above the median of all candidates'
      scores, those of unknown category included.
    - Impact ratio: a category's rate over the highest category's rate in the same table.
    - Candidates whose sex (or race) is not known are left out of the tables that need it, and counted.

    The table's categories are taken as they are: those of the EEO-1 report, if the shop follows the rule, and no value
    for "unknown". A tool that sorts candidates into groups, such as styles of leadership, needs one table per group
    (5-301(b)(4)), each with its own `selected`. A highest rate that rests on few rows makes all other ratios
    look worse; the intervals, which allow for any category to be truly the highest, show how little is then known.

    Attributes:
        sex: group column of the sex.
        race: group column of the race or ethnicity.
        exclude_below: share of the rows below which a category is left out of impact ratios, at most 0.02. The
            rule then wants a reason published; the category's rate stays in the table.
        min_rows: rows that a category needs. The rule knows no such minimum, so by default there is none.

    Source:
        6 RCNY 5-300 to 5-303 (DCWP, notice of adoption, April 2023); Local Law 144 of 2021, NYC Admin. Code 20-870 ff.
    """

    sex: str
    race: str
    exclude_below: float = 0.0
    min_rows: int = 1

    task: ClassVar[str] = "selection"
    numbers: ClassVar[Mapping[str, bool]] = {"selected": False, "score": False}
    names: ClassVar[Mapping[str, bool]] = {}

    def __post_init__(self) -> None:
        if self.sex == self.race:
            raise ValueError(f"sex, race: expected two columns, got '{self.sex}' for both")
        # Negated, so that NaN is refused too.
        if not 0 <= self.exclude_below <= MOST_EXCLUDED:
            raise ValueError(f"exclude_below: the rule allows 0 to {MOST_EXCLUDED}, got {self.exclude_below}")
        if self.min_rows < 1:
            raise ValueError(f"min_rows: expected at least 1, got {self.min_rows}")

    def measure(self, rows: Rows) -> Sequence[Outcome]:
        """The three tables, for selections, for scores, or for both where the table has both.

        Raises:
            ConfigError: a group column that the table doesn't have.
        """
        for name in ("sex", "race"):
            if (column := getattr(self, name)) not in rows.groups:
                raise ConfigError(f"{name}: no group column '{column}'. {nearest(column, rows.groups)}")
        found: list[Outcome] = []
        for role, stem in KINDS.items():
            if role in rows.columns:
                found += self._tables(rows, role, stem)
        if not found:
            none = "the table has no column selected and no column score"
            found = self._nothing(rows, KINDS["selected"], none)
        return found

    def _tables(self, rows: Rows, role: str, stem: str) -> list[Outcome]:
        values = rows.columns[role]
        kept = np.isfinite(values)
        found = left_out(rows, kept, self.task, f"{stem}_rate.rows_left_out")
        if not kept.any():
            return [*found, *self._nothing(rows, stem, f"no row has a value of {role}")]
        if role == "score":
            median = float(np.median(values[kept]))
            every = self._cut(rows, (), kept)
            found.append(every.fact("fairness.median_score", EVERYONE, median, Unit.UNITS, "median of all scores"))
            hits = values > median
        elif np.isin(values[kept], (0, 1)).all():
            hits = values == 1
        else:
            return [*found, *self._nothing(rows, stem, "selected holds numbers other than 0 and 1")]
        for columns in self._columns():
            known = kept & np.all([_known(rows.groups[column]) for column in columns], axis=0)
            cut = self._cut(rows, columns, known)
            unknown = int(kept.sum()) - len(cut.codes)
            found.append(cut.fact(f"{stem}_rate.unknown", cut.everywhere, unknown, Unit.COUNT, _UNKNOWN))
            found += self._table(cut, hits[known], stem, int(kept.sum()))
        return found

    def _table(self, cut: Cut, hits: NDArray[np.bool_], stem: str, assessed: int) -> list[Outcome]:
        """One table: rates of all categories, and ratios of those that are not left out."""
        sizes, small = np.bincount(cut.codes, minlength=len(cut.names)), cut.too_small()
        rates, ratios = f"{stem}_rate", f"{stem}_impact_ratio"
        excluded = {
            group: f"{n} of {assessed} rows, below the share of {self.exclude_below} that the settings leave out"
            for group, n in enumerate(sizes.tolist())
            if n < self.exclude_below * assessed
        }
        found: list[Outcome] = [
            cut.fact(f"{ratios}.excluded", cut.everywhere, len(excluded), Unit.COUNT, "categories below exclude_below")
        ]
        found += [cut.missing(rates, cut.slice(group), why) for group, why in small.items()]
        found += [cut.missing(ratios, cut.slice(group), why) for group, why in {**excluded, **small}.items()]
        shown = cut.large()
        successes, rows = tallies(cut, hits, shown)
        for number, group in enumerate(shown):
            one = rate(successes[..., number], rows[..., number], cut.level)
            found.append(one_rate(cut, rates, group, one))
        return found + self._ratios(cut, hits, ratios, [group for group in shown if group not in excluded])

    def _ratios(self, cut: Cut, hits: NDArray[np.bool_], metric: str, compared: Sequence[int]) -> list[Outcome]:
        if len(compared) < 2:
            why = f"{len(compared)} of {len(cut.names)} categories to compare, 2 needed"
            return self._no_ratios(cut, metric, compared, why)
        contrasts = against_best(*tallies(cut, hits, compared), level=cut.level)
        if contrasts[0].other == 0:
            return self._no_ratios(cut, metric, compared, _ZERO)
        found, sizes = list[Outcome](), np.bincount(cut.codes, minlength=len(cut.names))
        for group, one in zip(compared, contrasts, strict=True):
            assert one.ratio is not None  # noqa: S101 - the highest rate is above 0
            counts = {"rate": one.rate, "highest_rate": one.other, "rows": int(sizes[group])}
            found.append(
                cut.measured(
                    metric, cut.slice(group), one.ratio, one.ratio_bounds, n=int(sizes[group]), unit=Unit.RATIO,
                    method=_BEST, counts=counts,
                )
            )  # fmt: skip
        return found

    def _no_ratios(self, cut: Cut, metric: str, compared: Sequence[int], why: str) -> list[Outcome]:
        return [cut.missing(metric, where, why) for where in (cut.everywhere, *map(cut.slice, compared))]

    def _columns(self) -> tuple[tuple[str, ...], ...]:
        return (self.sex,), (self.race,), (self.sex, self.race)

    def _cut(self, rows: Rows, columns: tuple[str, ...], kept: NDArray[np.bool_]) -> Cut:
        return Cut.of(rows, columns, kept, task=self.task, min_rows=self.min_rows)

    def _nothing(self, rows: Rows, stem: str, reason: str) -> list[Outcome]:
        """No rate and no ratio in any of the three tables."""
        empty = np.zeros(len(rows), dtype=bool)
        return [
            cut.missing(metric, cut.everywhere, reason)
            for cut in (self._cut(rows, columns, empty) for columns in self._columns())
            for metric in (f"{stem}_rate", f"{stem}_impact_ratio")
        ]


def _known(values: NDArray) -> NDArray[np.bool_]:  # type: ignore[type-arg]
    return np.array([value is not None and value != MISSING for value in values], dtype=bool)
