"""What two runs have in common: a question, models, and the rows that both asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.base import HELD_OUT
from governance import atrest
from governance.compare import METRICS, Side, paired_differences
from governance.dataset import Labels
from governance.errors import RecordError
from governance.measure import Measurement, Outcome, Unit
from governance.policy.model import BASELINE
from governance.record import PREDICTIONS, ModelEntry, RunRecord
from governance.statistics.paired import paired_difference
from governance.statistics.scores import class_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"
SHARED = 0.5
"""Of either run's rows, the share that both must have asked before the models are compared on these alone."""
_SCORE = "score:"


def check_comparable(record: RunRecord, baseline: RunRecord) -> None:
    """Whether two runs ask one question of their models.

    Raises:
        RecordError: they don't; the message says in what they differ.
    """
    for what, one, other in (
        ("task", record.task, baseline.task),
        ("positive class", record.data.positive, baseline.data.positive),
    ):
        if one != other:
            raise RecordError(f"the baseline has another {what}: expected {one!r} as in this run, found {other!r}")
    mine, theirs = set(record.data.labels), set(baseline.data.labels)
    if mine and theirs and not mine & theirs:
        raise RecordError("the baseline has another task: none of its classes is one of this run's")


def level_of(record: RunRecord) -> float:
    """The confidence level of a run's intervals."""
    return max((one.level for one in record.outcomes if isinstance(one, Measurement)), default=0.95)


def counterpart(entry: ModelEntry, record: RunRecord, baseline: RunRecord) -> ModelEntry | None:
    """The earlier run's model of the same name; for the candidate, where there is none, the earlier candidate."""
    known = {one.name: one for one in baseline.models}
    return known.get(entry.name) or (known[baseline.candidate] if entry.name == record.candidate else None)


@dataclass(frozen=True)
class AskedRows:
    """One model's answers to held-out rows, with what was true. All columns have length n.

    Attributes:
        rows: position of each row in the source file, unique.
        truth: true class.
        predicted: answer, None where the row failed.
        scores: shape (n, classes), NaN where there are none; None where the model gives none.
        clusters: cluster of each row; None where the run doesn't tell.
        classes: in the order of the score columns.
    """

    rows: NDArray[np.int64]
    truth: tuple[str, ...]
    predicted: tuple[str | None, ...]
    scores: NDArray[np.float64] | None
    clusters: NDArray[np.int64] | None
    classes: tuple[str, ...]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Rows with an answer, shape (n,)."""
        return np.array([label is not None for label in self.predicted], dtype=bool)

    @property
    def right(self) -> NDArray[np.bool_]:
        """Rows that were answered rightly, shape (n,)."""
        return np.array([one == other for one, other in zip(self.predicted, self.truth, strict=True)], dtype=bool)

    def take(self, index: NDArray[np.intp]) -> AskedRows:
        """The rows at these positions."""
        return replace(
            self,
            rows=self.rows[index],
            truth=tuple(self.truth[i] for i in index),
            predicted=tuple(self.predicted[i] for i in index),
            scores=None if self.scores is None else self.scores[index],
            clusters=None if self.clusters is None else self.clusters[index],
        )


def read_rows(record: RunRecord, directory: Path, model: str) -> AskedRows | None:
    """A model's answers as its run keeps them; None where it keeps none.

    Raises:
        RecordError: they are encrypted and can't be opened, or no such file as an audit writes.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    name = f"{PREDICTIONS}/{model}.parquet"
    if name not in record.files and name + atrest.SUFFIX not in record.files:
        return None
    path = directory / name
    try:
        table = pq.read_table(atrest.plain(path))
        table = table.filter(pc.equal(table["set"], HELD_OUT)).sort_by("row")
        return _asked(table, record)
    except (KeyError, ValueError, TypeError, OSError, pa.ArrowException) as error:
        raise RecordError(f"{path}: not answers that an audit wrote ({type(error).__name__})") from None


def _asked(table: Any, record: RunRecord) -> AskedRows:
    rows = table["row"].to_numpy()
    if len(np.unique(rows)) != len(rows):
        raise ValueError("expected every row once")
    clusters = None
    if "cluster" in table.column_names:
        clusters = table["cluster"].to_numpy()
    elif record.data.clusters_test == record.data.rows_test:  # an older run, but each row is a cluster of its own
        clusters = rows
    columns = [name for name in table.column_names if name.startswith(_SCORE)]
    scored = bool(columns) and all(table[name].null_count < len(rows) for name in columns)
    truth, classes = tuple(table["label"].to_pylist()), tuple(name.removeprefix(_SCORE) for name in columns)
    if not set(truth) <= set(classes):
        raise ValueError("expected every true class among the scored ones")
    return AskedRows(
        rows=rows,
        truth=truth,
        predicted=tuple(table["predicted"].to_pylist()),
        scores=np.column_stack([table[name].to_numpy().astype(float) for name in columns]) if scored else None,
        clusters=clusters,
        classes=classes,
    )


def paired_changes(
    record: RunRecord,
    directory: Path,
    entry: ModelEntry,
    baseline: RunRecord,
    baseline_directory: Path,
    before: ModelEntry,
    *,
    level: float,
) -> list[Outcome]:
    """How much a model's quality changed on the very rows that both runs asked, by the rows' own clusters.

    Returns:
        Changes of accuracy, balanced accuracy, F1, AUC, coverage and accuracy over all rows; none where the runs read
        other data, or share less than half of either's rows.

    Raises:
        RecordError: predictions can't be read, or the same rows have other true classes.
    """
    if record.data.digest != baseline.data.digest:
        return []
    now, then = read_rows(record, directory, entry.name), read_rows(baseline, baseline_directory, before.name)
    if now is None or then is None or now.clusters is None or now.classes != then.classes:
        return []
    shared, left, right = np.intersect1d(now.rows, then.rows, assume_unique=True, return_indices=True)
    if len(shared) == 0 or len(shared) < SHARED * max(len(now.rows), len(then.rows)):
        return []
    mine, theirs = now.take(left), then.take(right)
    if mine.truth != theirs.truth:
        raise RecordError("the baseline has another task: the same rows of the same data have other true classes there")
    if record.data.positive is not None and record.data.positive not in now.classes:
        return []
    labels = Labels(now.classes, record.data.positive)
    assert mine.clusters is not None  # noqa: S101 - tested above
    differences = paired_differences(
        _side(entry.name, mine), _side(before.name, theirs), labels.codes(mine.truth), mine.clusters, labels,
        level=level, seed=record.lineage.seed, task=TASK,
    )  # fmt: skip
    renamed = {f"quality.{metric}.difference": f"quality.{metric}.change" for metric in METRICS}
    found: list[Outcome] = []
    for one in differences:
        change = replace(one, metric=renamed[one.metric], reference=BASELINE)
        if isinstance(change, Measurement):
            change = replace(change, method=f"paired by row; {change.method.removeprefix('paired ')}")
        found.append(change)
    return found + _shares(entry.name, mine, theirs, level)


def _side(name: str, asked: AskedRows) -> Side:
    return Side(name, np.arange(len(asked.rows)), class_codes(asked.predicted, asked.classes), asked.scores)


def _shares(model: str, now: AskedRows, then: AskedRows, level: float) -> list[Outcome]:
    """Changes of what is a share of all rows asked."""
    assert now.clusters is not None  # noqa: S101 - tested by the caller
    if len(np.unique(now.clusters)) < 2:
        return []
    found: list[Outcome] = []
    sides: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = {
        "coverage": (now.answered, then.answered),
        "accuracy_all": (now.right, then.right),
    }
    for metric, (mine, theirs) in sides.items():
        change = paired_difference(mine, theirs, clusters=now.clusters, level=level)
        found.append(
            Measurement(
                metric=f"quality.{metric}.change", value=change.value, low=change.low, high=change.high, level=level,
                n=change.n, unit=Unit.DIFFERENCE, method="paired by row; t interval over clusters", model=model,
                reference=BASELINE, task=TASK, counts={"clusters": change.clusters},
            )
        )  # fmt: skip
    return found
