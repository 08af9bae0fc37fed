"""Scrubbed shards put together into one file, in the input's format or in another."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import DataError
from governance.privacy.files.csvrows import CsvRows
from governance.privacy.files.parquetrows import ParquetRows
from governance.privacy.files.rowfiles import Format, RowFile, format_of

if TYPE_CHECKING:
    import pyarrow as pa

Payloads = Callable[[], Iterator[bytes]]
"""Rendered shards, in order; may be asked for twice."""
Tables = Callable[[], Iterator["pa.Table"]]


def assemble(target: Path, rows: RowFile, payloads: Payloads, *, as_format: Format) -> None:
    """Write shards as one file.

    Text formats that stay what they are keep every byte outside the texts. A conversion keeps values: what CSV holds
    stays text; NaN becomes null in JSON; types of JSON columns are those that fit all their values.

    Raises:
        DataError: the rows can't be held by the format that is asked for.
    """
    if rows.format == as_format and as_format != "parquet":
        with target.open("wb") as file:
            file.write(rows.head())
            for payload in payloads():
                file.write(payload)
        return
    import pyarrow as pa

    try:
        schema, tables = _tables(rows, payloads)
        _WRITERS[as_format](target, schema, tables)
    except (
        pa.ArrowInvalid,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        kind = type(error).__name__
    else:
        return
    # Outside the handler: Arrow's message may quote a value.
    raise DataError(
        f"{rows.path}: its columns can't be written as {as_format} ({kind}): a column of mixed or nested types? "
        f"Give OUT the ending of the input"
    )


def target_format(path: Path) -> Format:
    """The format that OUT's ending stands for.

    Raises:
        DataError: none that we write.
    """
    found = format_of(path)
    if found is None:
        raise DataError(f"{path}: OUT: expected an ending of .jsonl, .ndjson, .csv, .tsv or .parquet")
    return found


def _tables(rows: RowFile, payloads: Payloads) -> tuple[pa.Schema, Tables]:
    import pyarrow as pa

    if isinstance(rows, ParquetRows):
        return rows.schema, lambda: map(rows.table, payloads())
    if isinstance(rows, CsvRows):
        names = rows.names
        schema = pa.schema([(name, pa.string()) for name in names])

        def table(payload: bytes) -> pa.Table:
            columns = list(zip(*rows.values(payload), strict=True)) or [()] * len(names)
            return pa.table([pa.array(column, pa.string()) for column in columns], schema=schema)

        return schema, lambda: map(table, payloads())
    # JSON: each shard shows some types; a second reading puts all values into the types that fit every shard.
    found = [_json_table(payload, None).schema for payload in payloads()]
    merged: pa.Schema = pa.unify_schemas(found, promote_options="permissive") if found else pa.schema([])
    return merged, lambda: (_json_table(payload, merged) for payload in payloads())


def _json_table(payload: bytes, schema: pa.Schema | None) -> pa.Table:
    import pyarrow as pa

    records = [json.loads(line, strict=False) for line in payload.split(b"\n") if line.strip()]
    names = dict.fromkeys(key for record in records for key in record) if schema is None else schema.names
    columns = {
        name: pa.array([record.get(name) for record in records], None if schema is None else schema.field(name).type)
        for name in names
    }
    return pa.table(columns)


def _write_parquet(target: Path, schema: pa.Schema, tables: Tables) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(target, schema) as writer:
        for table in tables():
            writer.write_table(table)


def _write_json(target: Path, _schema: pa.Schema, tables: Tables) -> None:
    with target.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables():
            for row in table.to_pylist():
                file.write(json.dumps(_plain(row), ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, bytes):
        raise TypeError("bytes are no JSON")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)  # dates and times; decimals


def _write_csv(target: Path, schema: pa.Schema, tables: Tables, *, separator: str = ",") -> None:
    import pyarrow as pa
    import pyarrow.csv

    plain = pa.schema([(entry.name, _plain_text(entry.type)) for entry in schema])
    options = pa.csv.WriteOptions(delimiter=separator)
    with pa.csv.CSVWriter(target, plain, write_options=options) as writer:
        for table in tables():
            columns = table.cast(plain).columns
            if len(columns) == 1:  # a null alone would be a blank line, which is no row
                columns = [columns[0].fill_null("")]
            writer.write_table(pa.table(columns, schema=plain))


def _write_tsv(target: Path, schema: pa.Schema, tables: Tables) -> None:
    _write_csv(target, schema, tables, separator="\t")


def _plain_text(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    from governance.privacy.files.batch import is_text

    if is_text(kind) or pa.types.is_null(kind):
        return pa.large_string()
    return kind


_WRITERS: dict[Format, Callable[[Path, Any, Tables], None]] = {
    "parquet": _write_parquet,
    "jsonl": _write_json,
    "csv": _write_csv,
    "tsv": _write_tsv,
}
