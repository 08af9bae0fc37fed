"""Can a row be told from all others by what is known of its writer? Scrubbing takes names out; this is what remains.

An attacker who knows somebody's age band and department needs no name where only one row has both. The counts are
those of the prosecutor model, and exact for the rows of this audit; whether a row is alone in the whole population is
another question, which these rows can't answer, so nothing here has an interval and nothing claims to reach further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.base import Probe, Setting, Subject
from governance.errors import ConfigError
from governance.measure import ANY, Fact, NotMeasured, Outcome, Slice, Unit
from governance.registry import nearest
from governance.statistics.anonymity import Cells, cells_of

METRICS = (
    "anonymity.smallest_cell",
    "anonymity.small_cells",
    "anonymity.unique",
    "anonymity.risk",
    "anonymity.fewest_labels",
    "anonymity.one_label",
    "anonymity.incomplete",
)
_SOURCE = "prosecutor model, El Emam and Dankar 2008"


@dataclass(frozen=True, kw_only=True)
class Anonymity:
    """How many rows share the quasi-identifiers of each row, over training and held-out rows together.

    Attributes:
        quasi_identifiers: group columns, bands included, that an attacker may know; None: all of them.
        k: least number of rows in a cell that counts as large enough.
    """

    quasi_identifiers: tuple[str, ...] | None = None
    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 2:
            raise ConfigError(f"k: expected at least 2, found {self.k}; every row is in a cell of one or more")
        if self.quasi_identifiers is not None and not self.quasi_identifiers:
            raise ConfigError("quasi_identifiers: expected at least one column; leave it out for all group columns")
        if self.quasi_identifiers and len(set(self.quasi_identifiers)) < len(self.quasi_identifiers):
            raise ConfigError("quasi_identifiers: expected each column once")

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """None: no model is asked. A column that is no group column is complained about here, before any model runs.

        Raises:
            ConfigError: there is no such group column.
        """
        self._columns(setting)
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:  # noqa: ARG002 - the protocol's
        """Facts about the rows, the same for every model.

        Raises:
            ConfigError: a quasi-identifier is no group column.
        """
        columns = self._columns(setting)
        if not columns:
            reason = "the config declares no group columns"
            return [NotMeasured(metric=metric, reason=reason) for metric in METRICS]
        rows = [(*setting.train.groups[column], *setting.test.groups[column]) for column in columns]
        cells = cells_of(rows, (*setting.train.labels, *setting.test.labels), k=self.k)
        return _facts(
            cells, lacking=sum(None in values for values in zip(*rows, strict=True)), k=self.k, columns=columns
        )

    def _columns(self, setting: Setting) -> tuple[str, ...]:
        known = sorted(setting.train.groups)
        for column in self.quasi_identifiers or ():
            if column not in known:
                raise ConfigError(f"anonymity: quasi_identifiers: no group column '{column}'. {nearest(column, known)}")
        return tuple(known) if self.quasi_identifiers is None else self.quasi_identifiers


def _facts(cells: Cells, *, lacking: int, k: int, columns: Sequence[str]) -> list[Outcome]:
    where = Slice.of(dict.fromkeys(columns, ANY))
    rows = f"{cells.rows:,} training and held-out rows"

    def count(name: str, value: int, method: str) -> Outcome:
        return Fact(metric=f"anonymity.{name}", value=value, unit=Unit.COUNT, method=method, slice=where)

    def share(name: str, part: int, method: str) -> Outcome:
        method = f"{part:,} of {rows} are {method}"
        return Fact(metric=f"anonymity.{name}", value=part / cells.rows, unit=Unit.RATE, method=method, slice=where)

    return [
        count("smallest_cell", cells.smallest, f"rows in the smallest of {cells.cells:,} cells of {rows}"),
        share("small_cells", cells.below_k, f"in cells of fewer than {k} rows"),
        share("unique", cells.unique, "alone in their cell"),
        Fact(
            metric="anonymity.risk",
            value=cells.risk,
            unit=Unit.RATE,
            method=f"mean of 1 / cell size over {rows}, each taken as one person; {_SOURCE}",
            slice=where,
        ),
        count("fewest_labels", cells.fewest_values, f"fewest different labels in one of {cells.cells:,} cells"),
        share("one_label", cells.one_value, "in cells whose rows all have one label"),
        count("incomplete", lacking, f"of {rows}, those that lack a value; it counts as a value of its own"),
    ]
