"""Counting where the rows are: DuckDB reads Parquet, CSV or Arrow in one pass, out of core.

What comes back is one row per combination that occurs, however many rows the table has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.errors import DataError
from governance.groups.clusters import ClusterCounts, Counted
from governance.groups.counts import BINS, MISSING, GroupCounts, codes_of
from governance.sources import band_label

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = "read_csv({}, header = true, all_varchar = true)"  # a sniffed type would turn 007 into 7
_READERS = {".parquet": "read_parquet({})", ".csv": _TEXT, ".tsv": _TEXT}
_SETTINGS: dict[
    str, str | bool | int | float | list[str]
] = {  # nothing is fetched, nothing is loaded: a column name is the only thing that a file may decide
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "memory_limit": "1GB",
    "preserve_insertion_order": "false",
}


def scan(
    source: Path | pa.Table,
    *,
    groups: Sequence[str],
    truth: str,
    predicted: str,
    positive: str | None = None,
    score: str | None = None,
    cluster: str | None = None,
    bands: Mapping[str, tuple[str, Sequence[float]]] | None = None,
    threads: int = 2,
) -> Counted:
    """Count the rows of a table.

    Args:
        source: a Parquet, CSV or TSV file, a folder of files of one such kind, or an Arrow table.
        groups: sensitive columns, and names of `bands`.
        truth: column of the true class; rows without one are left out.
        predicted: column of the answer; rows without one are left out.
        positive: the class that `score` speaks of.
        score: column of scores in [0, 1].
        cluster: column; rows that share its value are not independent.
        bands: name -> (column, ascending edges): a group made from a number.
        threads: that DuckDB may use.

    Raises:
        DataError: an unreadable file, a missing column, a score outside [0, 1], or scores without a class.
    """
    if score is not None and positive is None:
        raise DataError("a score needs the class that it speaks of")
    import duckdb

    chosen = [f"{_value(name, bands or {})} AS g{place}" for place, name in enumerate(groups)]
    chosen += [f"CAST({_quoted(truth)} AS VARCHAR) AS t", f"CAST({_quoted(predicted)} AS VARCHAR) AS p"]
    totals = ["count(*) AS n"]
    if score is not None:
        number = f"CAST({_quoted(score)} AS DOUBLE)"
        bin_ = f"CAST(least(floor({number} * {BINS}), {BINS - 1}) AS INTEGER)"
        chosen.append(f"{bin_} AS b")
        totals += [f"sum({number}) AS s", f"min({number}) AS low", f"max({number}) AS high"]
    if cluster is not None:
        chosen.append(f"CAST({_quoted(cluster)} AS VARCHAR) AS c")
    with duckdb.connect(":memory:", config={**_SETTINGS, "threads": str(threads)}) as database:
        query = (
            f"SELECT {', '.join([*chosen, *totals])} FROM {_source(database, source)} "  # noqa: S608 - names are quoted
            f"WHERE {_quoted(truth)} IS NOT NULL AND {_quoted(predicted)} IS NOT NULL GROUP BY ALL"
        )
        try:
            found: pa.Table = database.sql(query).to_arrow_table()
        except duckdb.Error as error:
            raise DataError(f"{_name(source)}: {_said(error)}") from None
    if found.num_rows == 0:
        raise DataError(f"{_name(source)}: no row has both '{truth}' and '{predicted}'")
    return _counted(found, list(groups), positive, scored=score is not None, clustered=cluster is not None)


def column_names(source: Path) -> list[str]:
    """The columns of a file.

    Raises:
        DataError: it can't be read.
    """
    import duckdb

    with duckdb.connect(":memory:", config=_SETTINGS) as database:
        try:
            return list(database.sql(f"SELECT * FROM {_source(database, source)} LIMIT 0").columns)  # noqa: S608 - quoted
        except duckdb.Error as error:
            raise DataError(f"{_name(source)}: {_said(error)}") from None


def row_count(source: Path) -> int:
    """Rows of a file, whatever they hold."""
    import duckdb

    with duckdb.connect(":memory:", config=_SETTINGS) as database:
        query = f"SELECT count(*) FROM {_source(database, source)}"  # noqa: S608 - names are quoted
        ((rows,),) = database.sql(query).fetchall()
    return int(rows)


def batches(source: Path) -> Iterator[pa.RecordBatch]:
    """All of a file's rows, a few at a time."""
    import duckdb

    with duckdb.connect(":memory:", config=_SETTINGS) as database:
        query = f"SELECT * FROM {_source(database, source)}"  # noqa: S608 - names are quoted
        yield from database.sql(query).to_arrow_reader(4096)


def _source(database: Any, source: Path | pa.Table) -> str:
    if not isinstance(source, Path):
        database.register("rows", source)
        return "rows"
    files = sorted(one for one in source.iterdir() if one.suffix.lower() in _READERS) if source.is_dir() else [source]
    endings = {one.suffix.lower() for one in files}
    if len(endings) != 1 or not endings <= set(_READERS):
        raise DataError(f"{source.name}: expected files of one kind that end in {', '.join(_READERS)}")
    names = ", ".join(_literal(str(one)) for one in files)
    return _READERS[endings.pop()].format(f"[{names}]")


def _value(name: str, bands: Mapping[str, tuple[str, Sequence[float]]]) -> str:
    """A group column as text, or a band of a number as the audit's data reader names it."""
    if name not in bands:
        return f"coalesce(CAST({_quoted(name)} AS VARCHAR), {_literal(MISSING)})"
    column, edges = bands[name]
    number = f"TRY_CAST({_quoted(column)} AS DOUBLE)"
    cases = [f"WHEN {number} IS NULL OR isnan({number}) THEN {_literal(MISSING)}"]
    for place, edge in enumerate(edges):
        whole, part = (_literal(band_label(edges, place, whole=whole)) for whole in (True, False))
        cases.append(
            f"WHEN {number} < {float(edge)!r} THEN CASE WHEN {number} = floor({number}) THEN {whole} ELSE {part} END"
        )
    return f"CASE {' '.join(cases)} ELSE {_literal(band_label(edges, len(edges), whole=True))} END"


def _counted(found: pa.Table, groups: list[str], positive: str | None, *, scored: bool, clustered: bool) -> Counted:
    rows = found["n"].to_numpy()
    classes = tuple(sorted({*found["t"].to_pylist(), *found["p"].to_pylist()} | ({positive} if positive else set())))
    index = {name: code for code, name in enumerate(classes)}
    truth = np.array([index[name] for name in found["t"].to_pylist()], dtype=np.int64)
    predicted = np.array([index[name] for name in found["p"].to_pylist()], dtype=np.int64)
    coded = {name: codes_of(found[f"g{place}"]) for place, name in enumerate(groups)}
    plain = GroupCounts.of(coded, truth, predicted, classes)
    cells = {cell: number for number, cell in enumerate(plain.cells)}
    values = [[names[code] for code in codes] for names, codes in coded.values()]
    cell = np.array([cells[key] for key in (zip(*values, strict=True) if values else [()] * len(rows))], dtype=np.int64)
    k = len(classes)
    place = (cell * k + truth) * k + predicted
    counts = np.bincount(place, rows, plain.counts.size).astype(np.int64).reshape(plain.counts.shape)
    histogram = sums = None
    if scored:
        histogram, sums = _histogram(found, cell, truth == index[str(positive)], len(cells))
    table = GroupCounts(tuple(groups), plain.cells, classes, counts, histogram, sums)
    if not clustered:
        return table
    keys, cluster = codes_of(found["c"])
    return ClusterCounts.of(table, np.array(keys, dtype=object), cluster, place, rows)


def _histogram(found: pa.Table, cell: np.ndarray, positive: np.ndarray, cells: int) -> tuple[np.ndarray, np.ndarray]:
    low, high = found["low"].to_numpy(), found["high"].to_numpy()
    if not (np.nanmin(low) >= 0 and np.nanmax(high) <= 1) or np.isnan(low).any() or found["b"].null_count:
        raise DataError("expected a score in [0, 1] in every row")
    bins, rows = found["b"].to_numpy(), found["n"].to_numpy()
    histogram = np.bincount((cell * 2 + positive) * BINS + bins, rows, cells * 2 * BINS).astype(np.int64)
    sums = np.bincount(cell * BINS + bins, found["s"].to_numpy(), cells * BINS)
    return histogram.reshape(cells, 2, BINS), sums.reshape(cells, BINS)


def _quoted(name: str) -> str:
    """A column's name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _name(source: Path | pa.Table) -> str:
    return source.name if isinstance(source, Path) else "table"


def _said(error: Exception) -> str:
    """The first line of what DuckDB says, without a row's content: conversion errors quote values."""
    import duckdb

    if isinstance(error, duckdb.ConversionException | duckdb.InvalidInputException):
        return "a value is not of the type that its column should have"
    return str(error).splitlines()[0].strip()
