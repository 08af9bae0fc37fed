"""What the held-out rows look like, in a small file beside the record, so that a later run can tell whether they drift.

Records hold no texts, so what a comparison needs is summarised while the texts are there: rows counted in bins that are
the same for every data set, and the mean of hashed features with its covariance. No row's own figures are kept: a bin
with fewer than `FEW` rows is not told apart from the others like it, and features are kept of `LEAST` rows and more.
That is aggregation, not differential privacy; the file is its owner's alone, like the predictions beside it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from governance.dataset import ScrubbedDataset
from governance.errors import RecordError
from governance.files import write_atomic
from governance.record import RunRecord, read_as
from governance.statistics.distances import MeanVector, Shares, effective_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUTS = "inputs.json"
SCHEMA = 1
FEW = 5
LEAST = 200  # rows: with fewer, the covariance of 64 features would hold too much of each
LABEL = "(label)"
MISSING = "(missing)"
CHARACTERS = (1, 10, 20, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1280, 2560, 5120, 10240)
TOKENS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048)
DIMENSIONS = 64
FEATURES = f"character n-grams of 1 to 3 within words, signed hashes into {DIMENSIONS} places, unit length, v1"
_DIGITS = 6  # significant ones of a stored feature
_HAN_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(f"[{_HAN_KANA}]|[^\\s{_HAN_KANA}]+")
_SCRIPTS = {
    "LATIN", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "CYRILLIC", "ARABIC", "HEBREW", "GREEK", "THAI", "DEVANAGARI",
}  # fmt: skip


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Histogram(_Frozen):
    """Rows counted by bin.

    Attributes:
        counts: bin -> rows, at least `FEW` in each.
        few: rows in all other bins together.
        effective: independent rows that would say as much.
        order: all bins in their order; empty where they have none.
    """

    counts: Mapping[str, int]
    few: int = Field(ge=0)
    effective: float = Field(gt=0)
    order: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Histogram:
        if any(n < FEW for n in self.counts.values()):
            raise ValueError(f"expected at least {FEW} rows per bin")
        if self.effective > self.rows * (1 + 1e-9):
            raise ValueError("expected at most as many effective rows as rows")
        if self.order and set(self.counts) - set(self.order):
            raise ValueError("expected every bin in the order of bins")
        return self

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values()) + self.few

    @classmethod
    def of(cls, bins: Sequence[str], clusters: NDArray[np.int64], order: Sequence[str] = ()) -> Histogram:
        """Count the bin of every row, shape (n,), n >= 1, beside the cluster of each."""
        names, codes = np.unique(np.array(bins, dtype=object).astype(str), return_inverse=True)
        rows = np.bincount(codes, minlength=len(names))
        counts = {str(name): int(n) for name, n in zip(names, rows, strict=True) if n >= FEW}
        return cls(
            counts=counts,
            few=len(bins) - sum(counts.values()),
            effective=min(float(len(bins)), effective_rows(codes, clusters)),
            order=tuple(order),
        )


class Features(_Frozen):
    """The mean of the rows' features, and the covariance of that mean: its upper triangle, row by row."""

    made: str
    mean: tuple[float, ...]
    covariance: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> Features:
        if len(self.covariance) != len(self.mean) * (len(self.mean) + 1) // 2:
            raise ValueError("expected the upper triangle of a covariance")
        return self

    @property
    def vector(self) -> MeanVector:
        """As statistics take it."""
        covariance = np.zeros((len(self.mean),) * 2)
        covariance[np.triu_indices(len(self.mean))] = self.covariance
        return MeanVector(np.array(self.mean), covariance + np.triu(covariance, 1).T)


class Inputs(_Frozen):
    """What a run's held-out rows look like.

    Attributes:
        lengths: "characters" and "tokens" -> rows by length; a token is a word, or one Han or Kana character.
        script: rows by the script of most of their letters.
        categories: column -> rows by value; `LABEL` is the true class.
        features: None where there are too few rows.
    """

    schema_version: int = SCHEMA
    rows: int = Field(ge=1)
    lengths: Mapping[str, Histogram]
    script: Histogram
    categories: Mapping[str, Histogram]
    features: Features | None = None


def summarise(rows: ScrubbedDataset) -> Inputs:
    """Summarise rows, at least one."""
    texts = [text.text for text in rows.texts]
    lengths = {
        "characters": ([len(text) for text in texts], CHARACTERS),
        "tokens": ([len(words_of(text)) for text in texts], TOKENS),
    }
    columns: dict[str, Sequence[str | None]] = {LABEL: rows.labels, **rows.groups}
    return Inputs(
        rows=len(rows),
        lengths={name: _binned(values, edges, rows.clusters) for name, (values, edges) in lengths.items()},
        script=Histogram.of([script_of(text) for text in texts], rows.clusters),
        categories={
            name: Histogram.of([MISSING if value is None else value for value in values], rows.clusters)
            for name, values in columns.items()
        },
        features=_features(texts, rows.clusters),
    )


def _binned(values: Sequence[int], edges: Sequence[int], clusters: NDArray[np.int64]) -> Histogram:
    inner = (f"{low} to {high - 1}" if high - 1 > low else f"{low}" for low, high in pairwise(edges))
    names = [f"under {edges[0]}", *inner, f"{edges[-1]} and over"]
    return Histogram.of([names[bisect_right(edges, value)] for value in values], clusters, names)


def words_of(text: str) -> list[str]:
    """A text's words; a Han or Kana character is one.

    >>> words_of("很好 OK!")
    ['很', '好', 'OK!']
    """
    return _TOKEN.findall(text)


def script_of(text: str) -> str:
    """The script of most letters of a text, in lower case; "other", or "none" where it has no letters.

    >>> script_of("Great dress!"), script_of("裙子很好 OK"), script_of("12:30")
    ('latin', 'han', 'none')
    """
    letters = Counter(found for character in text if (found := _script(character)))
    return min(letters, key=lambda name: (-letters[name], name)) if letters else "none"


@lru_cache(maxsize=65536)
def _script(character: str) -> str | None:
    if not character.isalpha():
        return None
    first = unicodedata.name(character, "").split(" ")[0]
    return {"CJK": "han"}.get(first, first.lower() if first in _SCRIPTS else "other")


def _features(texts: Sequence[str], clusters: NDArray[np.int64]) -> Features | None:
    from sklearn.feature_extraction.text import HashingVectorizer

    if len(texts) < LEAST or len(np.unique(clusters)) < LEAST:
        return None
    made = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), n_features=DIMENSIONS, alternate_sign=True)
    found = MeanVector.of(made.transform(texts).toarray(), clusters)
    triangle = found.covariance[np.triu_indices(DIMENSIONS)]
    return Features(made=FEATURES, mean=_rounded(found.mean), covariance=_rounded(triangle))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)


def save_inputs(inputs: Inputs, directory: Path) -> Path:
    """Write `inputs.json` into a run directory."""
    path = directory / INPUTS
    text = json.dumps(inputs.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
    write_atomic(path, text.encode() + b"\n")
    return path


def load_inputs(record: RunRecord, directory: Path) -> Inputs | None:
    """What a run keeps of its inputs; None: nothing (an older run, or a table).

    Raises:
        RecordError: damaged, or of another schema.
    """
    path = directory / INPUTS
    if INPUTS not in record.files:
        return None
    if not path.is_file():
        raise RecordError(f"{path}: named by the record, but not there")
    return read_as(Inputs, path, schema=SCHEMA)


def paired_bins(now: Histogram, before: Histogram) -> tuple[Shares, Shares]:
    """Two histograms over the same bins, in order; the last bin is that of all others.

    Bins that one side doesn't tell are pooled on both, since what is rare on one side must not look new on the other;
    but not those that are common on the other side, since that is what drift looks like.
    """
    both_ways = ((now, before), (before, now))
    told = set(now.counts) & set(before.counts)
    told |= {name for one, other in both_ways for name in one.counts if _stands_out(one, other, name)}
    names = [name for name in now.order if name in told] if now.order else sorted(told)
    sides = []
    for side in (now, before):
        counts = [side.counts.get(name, 0) for name in names]
        sides.append([*counts, side.rows - sum(counts)])
    if len(names) > 1 and not any(side[-1] for side in sides):
        sides = [side[:-1] for side in sides]  # no others
    mine, theirs = (np.array(side, dtype=float) for side in sides)
    if len(mine) < 2:
        mine, theirs = np.append(mine, 0.0), np.append(theirs, 0.0)
    return Shares(mine, now.effective), Shares(theirs, before.effective)


def _stands_out(one: Histogram, other: Histogram, name: str) -> bool:
    """Whether a bin that only one side tells would hold twice `FEW` rows on the other, were it as common there."""
    return name not in other.counts and one.counts[name] / one.rows > 2 * FEW / other.rows
