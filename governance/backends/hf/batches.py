"""Rows of tokens through a model: sorted by length, batched by padded tokens, answered in order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from governance.backends.callable import type_name
from governance.backends.hf.settings import Settings
from governance.training.recipes.tokens import accepted, filler

T = TypeVar("T")
Row = Mapping[str, Sequence[int]]
"""One row as a model reads it: column -> numbers."""
NOT_FINITE = "the model's numbers are not finite"


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What came of one row.

    Attributes:
        value: None where it failed.
        failure: why; None where it didn't.
        seconds: its even share of its batch's.
    """

    value: T | None
    failure: str | None
    seconds: float


def batched(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Positions in batches of similar lengths, padded to at most `limit` tokens; a longer row stands alone.

    >>> batched([5, 1, 2, 9], 6)
    [[1, 2], [0], [3]]
    """
    found: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if found and (len(found[-1]) + 1) * lengths[i] <= limit:  # the longest so far is this one
            found[-1].append(i)
        else:
            found.append([i])
    return found


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to answer, and its tokenizer.

    Attributes:
        model: on its device, in evaluation mode.
        tokenizer: a fast one.
        settings: how it is used.
        room: tokens that a row may have.
    """

    model: Any
    tokenizer: Any
    settings: Settings
    room: int

    def rows(self, texts: Sequence[str], others: Sequence[str] | None = None) -> list[Row | str]:
        """Texts, or pairs of texts, as the model reads them; in place of one that it can't read, why."""
        if not texts:
            return []
        given = (list(texts),) if others is None else (list(texts), list(others))
        columns = self.encoded(*given)
        found: list[Row | str] = []
        for i in range(len(texts)):
            row: Row = {name: values[i] for name, values in columns.items()}
            if self.settings.truncate and len(row["input_ids"]) > self.room:
                row = self._cut(*(one[i] for one in given))
            found.append(self.checked(row))
        return found

    def _cut(self, *text: str) -> Row:
        """A text, or the second of a pair, cut to what the model has room for."""
        how = "only_first" if len(text) == 1 else "only_second"
        given = [[one] for one in text]
        try:
            columns = self.encoded(*given, truncation=how, max_length=self.room)
        except Exception:  # noqa: BLE001 - the tokenizer raises a plain one where the first alone is too long
            columns = self.encoded(*given)
        return {name: values[0] for name, values in columns.items()}

    def encoded(self, *texts: Sequence[str], **options: Any) -> dict[str, Any]:
        """What the tokenizer makes of texts, or of pairs: the columns that the model takes, of which some take fewer.

        Args:
            texts: one or two texts a row.
            options: of the tokenizer's call.
        """
        batch = self.tokenizer(*texts, return_attention_mask=True, **options)
        return {name: batch[name] for name in batch if name in accepted(self.model)}

    def checked(self, row: Row, *, more: int = 0) -> Row | str:
        """The row, or why the model can't read it.

        Args:
            row: to check.
            more: tokens that must fit behind it.
        """
        length = len(row["input_ids"])
        if not length:
            return "the text has no tokens"
        if length + more > self.room:
            return f"too long: {length + more} tokens, at most {self.room}"
        return row

    def each(
        self,
        rows: Sequence[Row | str],
        compute: Callable[[dict[str, torch.Tensor], list[int]], Sequence[T]],
        *,
        left: bool = False,
        more: int = 0,
        limit: int | None = None,
    ) -> list[Done[T]]:
        """One result per row, in order. A row that is a reason fails by it; one that the model fails at, fails alone.

        Args:
            rows: as `rows` made them.
            compute: a padded batch, name -> shape (b, longest), and the positions of its rows, to a value for each.
            left: pad on the left.
            more: tokens that will be written behind each row.
            limit: of a batch's padded tokens. [default: the settings']
        """
        found: list[Done[T]] = [Done(None, row if isinstance(row, str) else None, 0.0) for row in rows]
        read = {i: row for i, row in enumerate(rows) if not isinstance(row, str)}
        places = list(read)
        lengths = [sum(map(len, _long(read[i]))) + more for i in places]
        # What passes through an int8 layer is scaled by the largest number of its batch: neighbours would be felt.
        limit = 0 if self.settings.quantise else limit or self.settings.batch_tokens
        with _threads(self.settings.threads), torch.inference_mode():
            for at in batched(lengths, limit):
                batch = [places[i] for i in at]
                for i, done in zip(batch, self._batch(read, batch, compute, left), strict=True):
                    found[i] = done
        return found

    def _batch(
        self,
        rows: Mapping[int, Row],
        at: list[int],
        compute: Callable[[dict[str, torch.Tensor], list[int]], Sequence[T]],
        left: bool,
    ) -> list[Done[T]]:
        began = time.perf_counter()
        try:
            values = compute(self._padded([rows[i] for i in at], left), at)
        except (RuntimeError, IndexError, ValueError) as error:  # no memory for it, a token that the model doesn't know
            if len(at) > 1:
                return [done for i in at for done in self._batch(rows, [i], compute, left)]
            return [Done(None, f"the model raised {type_name(error)}", time.perf_counter() - began)]
        seconds = (time.perf_counter() - began) / len(at)
        return [Done(value, None, seconds) for value in values]

    def _padded(self, rows: Sequence[Row], left: bool) -> dict[str, torch.Tensor]:
        fill = {**filler(self.tokenizer)}
        batch = {}
        for name in rows[0]:
            longest = max(len(row[name]) for row in rows)
            pad = fill["input_ids"] if name.endswith("input_ids") else 0
            padding = [[pad] * (longest - len(row[name])) for row in rows]
            made = [
                more + list(row[name]) if left else list(row[name]) + more
                for row, more in zip(rows, padding, strict=True)
            ]
            batch[name] = torch.tensor(made, device=self.model.device)
        return batch

    def close(self) -> None:
        """Give the memory of an accelerator back; a CPU's goes with the object."""
        self.model.to("meta")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _long(row: Row) -> list[Sequence[int]]:
    """The columns that count for a row's length."""
    return [values for name, values in row.items() if name.endswith("input_ids")]


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute on so many threads; others of this process get theirs back."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
