"""Parquet: the text columns are replaced, every other column and every type stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from governance.errors import DataError
from governance.privacy.files.batch import LOST, NOT_UTF8, decoded, is_text, typed
from governance.privacy.files.rowfiles import SHARD_BYTES, SHARD_ROWS, Bad, Format, Shard, check_columns

if TYPE_CHECKING:
    import pyarrow as pa

_BUFFER = 1 << 20  # bytes read at once from a column: without it a whole row group would be held


class ParquetRows:
    """A Parquet file, opened for its texts."""

    format: Format = "parquet"
    unit: Literal["line", "row"] = "row"

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        with self._open() as file:
            self.schema: pa.Schema = file.schema_arrow
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        names = self.schema.names
        if len(set(names)) != len(names):
            raise DataError(f"{path}: a column name stands twice")
        check_columns(path, columns, names)
        for column in columns:
            kind = self.schema.field(column).type
            if not is_text(kind):
                raise DataError(f"{path}: --text: column '{column}': expected strings, found {kind}")
        self._columns = [column for column in names if column in set(columns)]
        # Rows per shard, by the widest row group: a batch of megabyte texts must fit into memory too.
        widest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=1)
        self._rows = max(1, min(SHARD_ROWS, SHARD_BYTES // max(1, widest)))
        self._total = sum(group.num_rows for group in groups)

    def head(self) -> bytes:
        """Nothing: the schema is written with the rows."""
        return b""

    def shards(self) -> Iterator[Shard]:
        """All rows, shard by shard."""
        seen, size = 0, self.path.stat().st_size
        with self._open() as file:
            batches = file.iter_batches(batch_size=self._rows, use_threads=False)
            while (batch := self._next(batches)) is not None:
                consumed = size * (seen + batch.num_rows) // max(1, self._total)
                yield self._shard(batch, seen, consumed)
                seen += batch.num_rows

    def table(self, payload: bytes) -> pa.Table:
        """The rows of a shard that was rendered."""
        import pyarrow as pa

        return pa.ipc.open_stream(payload).read_all()

    def _open(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self.path, buffer_size=_BUFFER)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: can't be read: not a Parquet file ({type(error).__name__})") from None

    def _next(self, batches: Iterator[Any]) -> Any:
        import pyarrow as pa

        try:
            return next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self.path}: damaged: a row group can't be read ({type(error).__name__})") from None

    def _shard(self, batch: pa.RecordBatch, before: int, consumed: int) -> Shard:
        import pyarrow as pa

        columns = {name: decoded(batch.column(name)) for name in self._columns}
        places = [
            (name, row) for name in self._columns for row, text in enumerate(columns[name][0]) if text is not None
        ]
        texts = pa.array([columns[name][0][row] for name, row in places], pa.large_string())
        bad = tuple(Bad(before + row + 1, NOT_UTF8, kept=True) for name in self._columns for row in columns[name][1])

        def render(scrubbed: pa.Array) -> bytes:
            new = {name: columns[name][0].copy() for name in self._columns}
            for name in self._columns:
                for row in columns[name][1]:
                    new[name][row] = LOST
            for (name, row), value in zip(places, scrubbed.to_pylist(), strict=True):
                new[name][row] = value
            out = batch
            for name in self._columns:
                place = batch.schema.get_field_index(name)
                out = out.set_column(place, batch.schema.field(name), typed(new[name], batch.schema.field(name).type))
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, out.schema) as writer:
                writer.write_batch(out)
            return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]

        return Shard(texts, [before + row + 1 for _, row in places], batch.num_rows, bad, consumed, render)
