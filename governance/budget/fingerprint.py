"""Whether two data sets share rows, told from keyed digests and never from the rows.

A row is what the data says of one record before scrubbing: its raw text, or named columns such as text and label. Each
row gives HMAC-SHA256 over its canonical bytes. The sum of all names the multiset of rows in any order; the smallest
ones, up to `KEPT`, are a sample of rows that is the same sample in every data set that has them.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from governance.errors import DataError, RecordError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.uint64]

Row: TypeAlias = bytes | str | Mapping[str, object]

KEPT = 131_072
"""Smallest digests kept. A data set with fewer distinct rows is compared exactly."""
CHUNK = 65_536
MODULUS = 2**256

_WHOLE = re.compile(r"-?\d+\.0+")


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What is remembered of a data set's rows.

    Attributes:
        digest: of the multiset of rows, 64 hex digits; equal for the same rows in any order.
        rows: how many, repeated ones included.
        sketch: the smallest keyed digests of distinct rows, rising, 64 bits each, shape (<= KEPT,).
    """

    digest: str
    rows: int
    sketch: Array

    def to_bytes(self) -> bytes:
        """The sketch for a file: big-endian, 8 bytes a row."""
        return self.sketch.astype(">u8").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes, *, digest: str, rows: int) -> Fingerprint:
        """What `to_bytes` wrote.

        Raises:
            RecordError: it isn't a sketch.
        """
        import numpy as np

        if len(data) % 8:
            raise RecordError(f"fingerprint {digest[:16]}: expected 8 bytes a row, found {len(data)} bytes")
        return cls(digest, rows, np.frombuffer(data, dtype=">u8").astype(np.uint64))

    def overlap(self, other: Fingerprint) -> float:
        """Share of the smaller data set's distinct rows that the other has too; 0.0 if none was seen.

        Exact if neither has more than `KEPT` distinct rows; else estimated, and a shared share p of the larger one's
        distinct rows is missed with probability exp(-p * KEPT) at most: above 0.01 % practically never.
        """
        import numpy as np

        if not len(self.sketch) or not len(other.sketch):
            return 0.0
        # Below both thresholds each sketch is complete, so what is there in one and not in the other isn't shared.
        ends = [s.sketch[-1] for s in (self, other) if len(s.sketch) >= KEPT]
        mine, theirs = (s.sketch if not ends else s.sketch[s.sketch <= min(ends)] for s in (self, other))
        shared = len(np.intersect1d(mine, theirs, assume_unique=True))
        return shared / min(len(mine), len(theirs)) if shared else 0.0


def fingerprint(rows: Iterable[Row], key: bytes) -> Fingerprint:
    """The fingerprint of a data set under a key; a million rows take seconds.

    Row order, order of columns, file format (CSV's "1" and Parquet's 1, 1.0 and "1.0"), line endings, surrounding
    blanks and Unicode composition make no difference. A column more or less does: give the columns that tell a record,
    and the text alone if labels may be corrected.

    Args:
        rows: raw, before scrubbing; a mapping is columns by name.
        key: secret; without it nobody can test whether a row is in.

    Raises:
        DataError: there are no rows.
    """
    import numpy as np

    total, count, sketch = 0, 0, np.empty(0, np.uint64)
    for digests in _chunks(rows, key):
        words = np.frombuffer(digests, dtype=">u4").reshape(-1, 8)
        count += len(words)
        for place, column in enumerate(words.sum(axis=0, dtype=np.uint64)):
            total += int(column) << (32 * (7 - place))
        first = np.frombuffer(digests, dtype=">u8")[::4].astype(np.uint64)
        if len(sketch) >= KEPT:
            first = first[first < sketch[-1]]
        if len(first):
            sketch = np.unique(np.concatenate([sketch, first]))[:KEPT]
    if not count:
        raise DataError("privacy budget: expected rows to take a fingerprint of, found none")
    return Fingerprint(f"{total % MODULUS:064x}", count, sketch)


def _chunks(rows: Iterable[Row], key: bytes) -> Iterator[bytes]:
    stream = iter(rows)
    while chunk := b"".join([hmac.digest(key, row_bytes(row), "sha256") for row in islice(stream, CHUNK)]):
        yield chunk


def row_bytes(row: Row) -> bytes:
    """The canonical bytes of a row.

    >>> row_bytes({"label": 1.0, "text": "fine "}) == row_bytes({"text": "fine", "label": "1"})
    True
    """
    if isinstance(row, bytes):
        return row
    if isinstance(row, str):
        return _text(row).encode("utf-8", "surrogatepass")
    # Escaped, so that half a surrogate pair in a broken text can't stop the count.
    return json.dumps(sorted((str(name), _value(value)) for name, value in row.items())).encode()


def _value(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):  # a table reader's empty cell
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = _text(str(value))
    if _WHOLE.fullmatch(text):
        return text.partition(".")[0]
    return text.lower() if text in ("True", "False", "TRUE", "FALSE") else text


def _text(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()
