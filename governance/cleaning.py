"""What is wrong with raw rows, counted and mended before anything is scrubbed or trained.

Most of it is row-wise: what happens to a row follows from that row and from public settings, so a private run may use
it. What looks across rows (`duplicates`, `near_duplicates`, `similar`, `outliers`) isn't: one record more could change
what becomes of others, and no epsilon of the training steps covers that.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from governance.encoding import Language, diagnose
from governance.similar import similar_to_earlier
from governance.sources import Dataset
from governance.tables import RawTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

Drop = Literal["drop", "keep"]
Shorten = Literal["drop", "clip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Where a value must be: public knowledge, such as that ages are between 0 and 120.

    Attributes:
        low: None: no bound.
        high: None: no bound.
        outside: what becomes of a row that isn't there.
    """

    low: float | None = None
    high: float | None = None
    outside: Shorten = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What to do about rows that are not as they should be.

    Attributes:
        encoding: broken characters: "repair" what can be, "drop" the row, or "keep" it as it is.
        missing: rows without an optional value; without a required one they are always dropped.
        fill: number column -> what stands for a missing value; public constants.
        bounds: number column -> where its values must be.
        characters: how long each text must be.
        outliers: numbers far from the column's median.
        z: how far, in robust standard deviations.
        duplicates: rows that say the same in every column that is read; the first is kept.
        near_duplicates: the same of rows whose texts differ in case, width, punctuation and white space alone.
        similar: the same of rows whose texts share at least this share of their character 4-grams.
    """

    encoding: Literal["repair", "drop", "keep"] = "repair"
    missing: Drop = "keep"
    fill: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, Range] = field(default_factory=dict)
    characters: Range | None = None
    outliers: Literal["drop", "clip", "keep"] = "keep"
    z: float = 8.0
    duplicates: Drop = "keep"
    near_duplicates: Drop = "keep"
    similar: float | None = None


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What is left.

    Attributes:
        table: rows that stay, mended.
        counts: what was found -> rows or cells; "dropped: ..." are rows by the first reason to leave them out.
    """

    table: RawTable
    counts: Mapping[str, int]


def refused(cleaning: Cleaning) -> tuple[str, ...]:
    """Settings that a private run can't have: quantiles and similarity to others depend on all rows at once."""
    return tuple(
        name
        for name, on in (("outliers", cleaning.outliers != "keep"), ("similar", cleaning.similar is not None))
        if on
    )


def uncovered(cleaning: Cleaning) -> tuple[str, ...]:
    """What of this cleaning a privacy claim does not cover, in words for the claim."""
    told = ["the counts of what cleaning and scrubbing found, which the training record tells without noise"]
    if "drop" in (cleaning.duplicates, cleaning.near_duplicates):
        told.append("the removal of repeated rows, which looks across rows before training")
    return tuple(told)


def clean(table: RawTable, cleaning: Cleaning, *, language: Language = "en") -> Cleaned:
    """Mend what can be mended, leave out the rest, count both.

    Args:
        table: raw rows.
        cleaning: what to do.
        language: of the texts; decides which broken encodings are looked for.
    """
    found: Counter[str] = Counter({f"not a number: {name}": n for name, n in table.unreadable.items() if n})
    own = replace(table, texts=dict(table.texts), labels=dict(table.labels), numbers=dict(table.numbers))
    work = _Work(own, np.ones(len(table), dtype=bool), found)
    work.encodings(cleaning.encoding, language)
    work.missing(cleaning)
    work.ranges(cleaning)
    work.outliers(cleaning)
    work.repeated(cleaning)
    return Cleaned(work.table.take(np.flatnonzero(work.stays)), dict(sorted(found.items())))


def clean_dataset(dataset: Dataset, cleaning: Cleaning, *, language: Language = "en") -> Dataset:
    """An audit's rows, cleaned."""
    every = np.arange(len(dataset))
    raw = RawTable(
        rows=every,
        texts={"text": list(dataset.raw_texts(every))},
        labels={"label": list(dataset.labels)},
        numbers={},
        required=frozenset({"text", "label"}),
    )
    done = clean(raw, cleaning, language=language)
    texts, labels = (
        [value or "" for value in column] for column in (done.table.texts["text"], done.table.labels["label"])
    )
    return dataset.cleaned(done.table.rows, texts, labels, done.counts)


@dataclass
class _Work:
    """Rows on their way: each step looks at those that still stay."""

    table: RawTable
    stays: NDArray[np.bool_]
    found: Counter[str]

    def drop(self, rows: NDArray[np.bool_], why: str) -> None:
        gone = rows & self.stays
        if gone.any():
            self.found[f"dropped: {why}"] += int(gone.sum())
            self.stays &= ~rows

    def encodings(self, policy: str, language: Language) -> None:
        broken = np.zeros(len(self.table), dtype=bool)
        for columns in (self.table.texts, self.table.labels):
            for name, values in columns.items():
                mended = {value: diagnose(value, language) for value in set(values) if value}
                kinds = [mended[value].kinds if value else frozenset() for value in values]
                for found in kinds:
                    self.found.update(f"encoding: {kind}" for kind in found)
                broken |= np.array([bool(found) for found in kinds], dtype=bool)
                if policy == "repair":
                    columns[name] = [mended[value].text if value else value for value in values]
        if policy == "drop":
            self.drop(broken, "encoding")

    def missing(self, cleaning: Cleaning) -> None:
        for name, values in (*self.table.texts.items(), *self.table.labels.items()):
            absent = np.array([not (value and value.strip()) for value in values], dtype=bool)
            self._absent(name, absent, cleaning)
        for name, numbers in self.table.numbers.items():
            absent = np.isnan(numbers)
            if name in cleaning.fill:
                self.found[f"missing: {name}"] += int(absent.sum())
                self.table.numbers[name] = np.where(absent, cleaning.fill[name], numbers)
            else:
                self._absent(name, absent, cleaning)
        self.found += Counter()  # without zeros

    def _absent(self, name: str, absent: NDArray[np.bool_], cleaning: Cleaning) -> None:
        self.found[f"missing: {name}"] += int(absent.sum())
        if name in self.table.required or (cleaning.missing == "drop" and name not in self.table.blank):
            self.drop(absent, "missing")

    def ranges(self, cleaning: Cleaning) -> None:
        for name, bound in cleaning.bounds.items():
            numbers = self.table.numbers[name]
            self.table.numbers[name] = self._within(numbers, bound, f"out of bounds: {name}")
        if cleaning.characters is not None:
            bound = cleaning.characters
            for name, texts in self.table.texts.items():
                lengths = np.array([len(text) if text else np.nan for text in texts])
                kept = self._within(lengths, bound, f"length: {name}")
                if bound.outside == "clip":  # what is too short stays so
                    self.table.texts[name] = [
                        text[: int(most)] if text else text for text, most in zip(texts, kept, strict=True)
                    ]

    def _within(self, values: NDArray[np.float64], bound: Range, what: str) -> NDArray[np.float64]:
        low = -np.inf if bound.low is None else bound.low
        high = np.inf if bound.high is None else bound.high
        outside = ((values < low) | (values > high)) & self.stays
        if outside.any():
            self.found[what] += int(outside.sum())
        if bound.outside == "drop":
            self.drop(outside, what)
            return values
        return np.clip(values, low, high)

    def outliers(self, cleaning: Cleaning) -> None:
        if cleaning.outliers == "keep":
            return
        for name, numbers in list(self.table.numbers.items()):
            middle, spread = median_and_spread(numbers[self.stays])
            bound = Range(
                low=middle - cleaning.z * spread, high=middle + cleaning.z * spread, outside=cleaning.outliers
            )
            if spread > 0:
                self.table.numbers[name] = self._within(numbers, bound, f"outlier: {name}")

    def repeated(self, cleaning: Cleaning) -> None:
        rows = np.flatnonzero(self.stays)
        self._repeats(rows, [self.table.said(int(row)) for row in rows], "duplicate", cleaning.duplicates)
        if not self.table.texts:
            return
        rows = np.flatnonzero(self.stays)
        texts = [tuple(folded(values[row] or "") for values in self.table.texts.values()) for row in rows]
        says = [any(row) for row in texts]  # rows without a text aren't alike for that
        rows, texts = rows[np.array(says, dtype=bool)], [row for row, some in zip(texts, says, strict=True) if some]
        self._repeats(rows, texts, "near duplicate", cleaning.near_duplicates)
        if cleaning.similar is not None:
            rows = rows[self.stays[rows]]
            joined = [" ".join(folded(values[row] or "") for values in self.table.texts.values()) for row in rows]
            gone = np.zeros(len(self.table), dtype=bool)
            gone[rows[similar_to_earlier(joined, cleaning.similar)]] = True
            self.found["similar"] += int(gone.sum())
            self.drop(gone, "similar")

    def _repeats(self, rows: NDArray[np.int64], said: Sequence[object], what: str, policy: Drop) -> None:
        first: dict[object, int] = {}
        again = np.zeros(len(self.table), dtype=bool)
        again[[row for row, content in zip(rows, said, strict=True) if first.setdefault(content, row) != row]] = True
        if again.any():
            self.found[what] += int(again.sum())
        if policy == "drop":
            self.drop(again, what)


def folded(text: str) -> str:
    """A text without what makes no difference to its words: case, width, punctuation, symbols, white space.

    >>> folded("Ｇｒｅａｔ, 衣服！ ") == folded("great 衣服")
    True
    """
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold()) or text.strip()


def median_and_spread(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and the standard deviation of normal values with the same median absolute deviation.

    Where more than half of the values are equal, the mean absolute deviation stands in, as Iglewicz and Hoaglin
    (1993), "How to detect and handle outliers", advise. Absent values don't count; (nan, 0.0) if there are none.
    """
    there = values[~np.isnan(values)]
    if not len(there):
        return float("nan"), 0.0
    middle = float(np.median(there))
    away = np.abs(there - middle)
    median = float(np.median(away))
    return middle, 1.4826 * median if median else 1.2533 * float(away.mean())
