"""Arrow in, Arrow out: a column of texts scrubbed as a whole, and a report that holds nothing of it.

A text that can't be vouched for (not UTF-8, never settles) becomes `[UNREADABLE]` and is named by its position:
it neither stops the others nor passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from governance.errors import ScrubError
from governance.privacy.overlaps import UNREADABLE
from governance.privacy.policy import Direction

if TYPE_CHECKING:
    import pyarrow as pa

    from governance.privacy.scrubber import Scrubber

LOST = f"[{UNREADABLE}]"
"""What stands for a text that can't be passed on."""
NOT_UTF8 = "the text is not UTF-8"
UNSETTLED = "the text still yields personal data after many readings"


Rewrite = Callable[[Sequence[str]], Sequence[tuple[str, Mapping[str, int]]]]
"""Texts -> for each, in order, its new version and entity -> pieces taken out; a `ScrubError` refuses them all."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to a column.

    Attributes:
        texts: values that are not null.
        changed: texts that came out different, unreadable ones among them.
        counts: entity -> pieces taken out.
        unreadable: (position, why) of each text that became `[UNREADABLE]`.
    """

    texts: int
    changed: int
    counts: Mapping[str, int]
    unreadable: tuple[tuple[int, str], ...]


def scrub_arrow(texts: pa.Array | pa.ChunkedArray, scrubber: Scrubber, direction: Direction) -> tuple[pa.Array, Report]:
    """Scrub a column of strings.

    Args:
        texts: string, large_string, string_view, or a dictionary of one of them; shape (n,). Nulls stay null.
        scrubber: what finds and replaces.
        direction: where the texts are going.

    Returns:
        An array of the same type and length, and the report. Of a dictionary nothing raw is kept: it is made anew.

    Raises:
        ScrubError: the column holds something other than strings.
    """
    return rewrite_arrow(
        texts, lambda batch: [(done.text.text, done.counts) for done in scrubber.scrub_many(batch, direction)]
    )


def rewrite_arrow(texts: pa.Array | pa.ChunkedArray, rewrite: Rewrite) -> tuple[pa.Array, Report]:
    """`scrub_arrow` with any function over texts."""
    if not is_text(texts.type):
        raise ScrubError(f"expected a column of strings, found {texts.type}")
    values, unreadable = decoded(texts)
    rows = [row for row, value in enumerate(values) if value is not None]
    counts: Counter[str] = Counter()
    out = list(values)
    for row, done in zip(rows, _rewritten([values[row] or "" for row in rows], rewrite), strict=True):
        if isinstance(done, str):
            unreadable[row] = done
        elif UNREADABLE in done[1]:
            unreadable[row] = UNSETTLED
        else:
            out[row] = done[0]
            counts.update(done[1])
    changed = sum(out[row] != values[row] for row in rows)
    for row in unreadable:
        out[row] = LOST
    report = Report(
        texts=len(rows) + sum(values[row] is None for row in unreadable),
        changed=changed + len(unreadable),
        counts=dict(sorted(counts.items())),
        unreadable=tuple(sorted(unreadable.items())),
    )
    return typed(out, texts.type), report


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of strings, a dictionary of strings included."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def decoded(texts: pa.Array | pa.ChunkedArray) -> tuple[list[str | None], dict[int, str]]:
    """The values, and the positions of those that are no UTF-8 (None among the values)."""
    import pyarrow as pa

    if pa.types.is_dictionary(texts.type):
        return _looked_up(texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts])
    try:
        return texts.to_pylist(), {}
    except UnicodeDecodeError:
        raw = texts.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()
    values: list[str | None] = []
    broken: dict[int, str] = {}
    for row, value in enumerate(raw):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            values.append(None)
            broken[row] = NOT_UTF8
    return values, broken


def _looked_up(chunks: Sequence[pa.DictionaryArray]) -> tuple[list[str | None], dict[int, str]]:
    # By hand: Arrow can neither take from nor cast a dictionary of string views.
    values: list[str | None] = []
    broken: dict[int, str] = {}
    for chunk in chunks:
        entries, unreadable = decoded(chunk.dictionary)
        for code in chunk.indices.to_pylist():
            if code in unreadable:
                broken[len(values)] = unreadable[code]
            values.append(None if code is None else entries[code])
    return values, broken


def _rewritten(texts: Sequence[str], rewrite: Rewrite) -> Sequence[tuple[str, Mapping[str, int]] | str]:
    """Results; of a text that is refused, why. One bad text must not cost the batch its others."""
    try:
        return rewrite(texts) if texts else []
    except ScrubError:
        return [_alone(text, rewrite) for text in texts]


def _alone(text: str, rewrite: Rewrite) -> tuple[str, Mapping[str, int]] | str:
    try:
        return rewrite([text])[0]
    except ScrubError as error:
        return str(error)  # no message of ours quotes a text


def typed(values: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Strings as an array of a type that `is_text` accepts; a dictionary holds what occurs and nothing else."""
    import pyarrow as pa

    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    codes = {value: code for code, value in enumerate(dict.fromkeys(value for value in values if value is not None))}
    indices = pa.array([None if value is None else codes[value] for value in values], kind.index_type)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(codes), kind.value_type), ordered=kind.ordered)
