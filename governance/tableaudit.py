"""The audit of a table: decisions read from a file, measured by group, recorded, judged and rendered like any other.

No text is read but what a generation table holds, no model is asked, and nothing of a row is kept: the record has
counts, figures and the digest of the file.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.building import evaluator_of, within
from governance.conclude import ID_DIGITS, Result, conclude
from governance.contenders import public_name
from governance.describe import code_version, config_version, hardware
from governance.errors import ConfigError, DataError
from governance.files import digest_of
from governance.formats import known_columns, read_columns, read_whole
from governance.groups.clusters import Counted, table_of
from governance.groups.counts import MISSING, codes_of
from governance.groups.scan import batches, column_names, row_count, scan
from governance.measure import Outcome, reading_order
from governance.policy import Terms
from governance.prepare import LIBRARIES
from governance.progress import Progress
from governance.record import DataEntry, Lineage, ModelEntry, RunRecord
from governance.registry import nearest
from governance.rundir import alone, existing, recorded, run_directory
from governance.sources import digest_source, group_values, locate
from governance.store import code_digest, versions
from governance.tableconfig import KINDS, TableAuditConfig, TableConfig
from governance.tables import rows_digest
from governance.waiverkeys import waiver_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluators.table import Rows


@dataclass(frozen=True)
class _Measured:
    """What a table came to.

    Attributes:
        outcomes: figures, or why there are none.
        read: rows of the file.
        used: rows that were counted.
        clusters: clusters that they come in.
        groups: column -> value -> rows.
        labels: class -> rows, for classification.
        digest: of the rows in any order; None for too many of them.
    """

    outcomes: tuple[Outcome, ...]
    read: int
    used: int
    clusters: int
    groups: Mapping[str, Mapping[str, int]]
    labels: Mapping[str, int]
    digest: str | None


def run_table_audit(
    config: TableAuditConfig, path: Path, *, out: Path, language: str, again: bool, progress: Progress
) -> Result:
    """Measure a table, judge it, write the reports; the record of an unchanged one stands.

    Raises:
        SteelyardError: what the user can mend; the message says how.
    """
    table = config.table
    evaluator = evaluator_of(f"{path}: settings", table.kind, config.settings, kind="table kind", known=KINDS)
    terms = within(f"{path}: policy", lambda: Terms.load(config.policy_name, config.waivers, base=path.parent))
    terms = within(f"{path}: waivers", lambda: terms.trusting(waiver_keys()))
    file = within(f"{path}: table.path", lambda: locate(table.path, path.parent))
    _check_roles(path, table.columns, evaluator)
    digests = {
        "config": config.model_dump(mode="json", exclude={"policy", "waivers"}),
        "data": digest_source(file),
        "code": code_digest("governance", "evaluators"),
        "versions": dict(versions(*LIBRARIES)),
    }
    directory = run_directory(out / config.audit, digest_of(digests)[:ID_DIGITS], again=again)
    record = existing(directory, progress)
    if record is None:
        with alone(out / config.audit, progress):
            record = existing(directory, progress)
            if record is None:

                def measured() -> RunRecord:
                    with progress.stage(f"measure {table.kind}"):
                        found = _measure(config, path, file, evaluator)
                    return _record(config, path, found, digests, directory.name, progress)

                record = recorded(directory, measured)
    return conclude(record, terms, directory, language=language)


def _check_roles(path: Path, columns: Mapping[str, str], evaluator: Any) -> None:
    roles = {**evaluator.numbers, **evaluator.names}
    for role in columns:
        if role not in roles:
            raise ConfigError(f"{path}: table.columns.{role}: no such role. {nearest(role, roles)}")
    for role, needed in roles.items():
        if needed and role not in columns:
            raise ConfigError(f"{path}: table.columns.{role}: this role is required; name the column that holds it")


def _measure(config: TableAuditConfig, path: Path, file: Path, evaluator: Any) -> _Measured:
    if config.table.kind == "classification":
        return _counted(config, path, file, evaluator)
    rows, read = _rows(config, path, file, evaluator)
    outcomes = tuple(within(f"{path}: settings", lambda: evaluator.measure(rows)))
    groups = {
        name: _sizes([MISSING if value is None else value for value in rows.groups[name]]) for name in rows.groups
    }
    digest = rows_digest(read_whole(file).to_batches(), read)
    return _Measured(outcomes, read, len(rows), len(np.unique(rows.clusters)), groups, {}, digest)


def _columns_of(table: TableConfig) -> dict[str, str]:
    """Key of the config -> the column that it names."""
    where = {f"table.columns.{role}": column for role, column in table.columns.items()}
    where |= {f"table.groups.{i}": name for i, name in enumerate(table.groups) if name not in table.bands}
    where |= {f"table.bands.{name}.column": band.column for name, band in table.bands.items()}
    return where | ({"table.cluster": table.cluster} if table.cluster else {})


def _sizes(values: list[str]) -> dict[str, int]:
    names, codes = codes_of(values)
    return dict(zip(names, np.bincount(codes, minlength=len(names)).tolist(), strict=True))


def _counted(config: TableAuditConfig, path: Path, file: Path, evaluator: Any) -> _Measured:
    """Classification: counted where the rows are, however many there are."""
    table = config.table
    names = within(f"{path}: table.path", lambda: column_names(file))
    for key, column in _columns_of(table).items():
        if column not in names:
            raise DataError(f"{path}: {key}: no column '{column}'. {known_columns(column, names)}")
    counted: Counted = within(
        f"{path}: table",
        lambda: scan(
            file,
            groups=table.group_columns,
            truth=table.columns["truth"],
            predicted=table.columns["prediction"],
            positive=table.positive,
            score=table.columns.get("score"),
            cluster=table.cluster,
            bands={name: (band.column, band.edges) for name, band in table.bands.items()},
        ),
    )
    counts = table_of(counted)
    seen = [
        name for i, name in enumerate(counts.classes) if counts.counts[:, i, :].any() or counts.counts[:, :, i].any()
    ]
    if table.positive is not None and table.positive not in seen:
        raise DataError(
            f"{path}: table.positive: no row is of the class '{table.positive}'. {nearest(table.positive, seen)}"
        )
    arguments = {"model": config.model, "positive": table.positive, "level": config.level, "seed": config.seed}
    outcomes = within(f"{path}: settings", lambda: evaluator.measure(counted, **arguments))
    groups = {}
    for name in table.group_columns:
        by = counts.over((name,))
        groups[name] = {cell: int(n.sum()) for (cell,), n in zip(by.cells, by.counts, strict=True)}
    labels = dict(zip(counts.classes, counts.counts.sum(axis=(0, 2)).tolist(), strict=True))
    clusters = counts.rows if counted is counts else len(counted.keys)  # type: ignore[union-attr]
    read = row_count(file)
    return _Measured(tuple(outcomes), read, counts.rows, clusters, groups, labels, rows_digest(batches(file), read))


def _rows(config: TableAuditConfig, path: Path, file: Path, evaluator: Any) -> tuple[Rows, int]:
    from evaluators.table import Rows

    table = config.table
    where = _columns_of(table)
    read = within(str(path), lambda: read_columns(file, sorted(set(where.values())), where))
    columns = {
        role: _numbers(file, read[column], column) if role in evaluator.numbers else _names(read[column])
        for role, column in table.columns.items()
    }
    bands = {name: (band.column, band.edges) for name, band in table.bands.items()}
    every = np.arange(read.num_rows)
    groups = {
        name: np.array(group_values(file, read, name, bands, every, key="table"), dtype=object)
        for name in table.group_columns
    }
    clusters = every if table.cluster is None else codes_of(read[table.cluster])[1]
    return (
        Rows(
            model=config.model, columns=columns, groups=groups, clusters=clusters, level=config.level, seed=config.seed
        ),
        read.num_rows,
    )


def _numbers(file: Path, column: Any, name: str) -> NDArray[np.float64]:
    """A column as numbers, NaN where there is none; what can't be a number is told without its value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        found = pc.cast(column, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{file.name}: expected numbers in column '{name}'") from None
    values = np.asarray(pc.fill_null(found, float("nan")).to_numpy(), dtype=float)
    if np.isinf(values).any():
        raise DataError(f"{file.name}: expected finite numbers in column '{name}'")
    return values


def _names(column: Any) -> NDArray[np.object_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    return np.array(pc.cast(column, pa.string()).to_pylist(), dtype=object)


def _record(
    config: TableAuditConfig, path: Path, measured: _Measured, digests: Mapping[str, Any], run: str, progress: Progress
) -> RunRecord:
    table, source = config.table, public_name(config.table.path)
    code, dirty = code_version(digests["versions"])
    commit, changed = config_version(path)
    return RunRecord(
        audit=config.audit,
        run=run,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        title=config.title or config.audit,
        task=table.kind,
        question=config.question,
        candidate=config.model,
        data=_data_entry(config, measured, digests["data"]),
        models=(
            ModelEntry(
                name=config.model,
                kind="table",
                title=config.title or config.model,
                source=source,
                weighed_on=measured.used,
                settings={f"column.{role}": column for role, column in table.columns.items()},
            ),
        ),
        outcomes=measured.outcomes,
        lineage=Lineage(
            plan=digest_of(digests),
            config=digest_of(digests["config"]),
            policy=digest_of(None),  # no text reaches a model, so no scrub policy was used
            code=code,
            dirty=dirty,
            versions={"python": platform.python_version(), **digests["versions"]},
            hardware=hardware(),
            seed=config.seed,
            parts={"code": digests["code"]},
            config_commit=commit,
            config_dirty=changed,
        ),
        seconds=progress.seconds,
    )


def _data_entry(config: TableAuditConfig, measured: _Measured, digest: str) -> DataEntry:
    table = config.table
    known = {
        name: {value: sizes[value] for value in sorted(sizes, key=reading_order) if value != MISSING}
        for name, sizes in measured.groups.items()
    }
    return DataEntry(
        name=table.name or Path(table.path).name,
        source=public_name(table.path),
        digest=digest,
        rows_digest=measured.digest,
        rows_read=measured.read,
        rows_empty=measured.read - measured.used,
        rows_duplicate=0,
        rows_used=measured.used,
        rows_train=0,
        rows_test=measured.used,
        clusters_test=measured.clusters,
        cluster=table.cluster,
        labels=measured.labels,
        positive=table.positive,
        groups=known,
        groups_missing={name: sizes.get(MISSING, 0) for name, sizes in measured.groups.items()},
        language=config.language,
        licence=table.licence,
    )
