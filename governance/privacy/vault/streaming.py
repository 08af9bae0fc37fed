"""A model's answer on its way to a person, as it streams: what the model made up is scrubbed, then values come back.

Values are put in last and in one pass, so nothing that was put back is read again, as a token or as a find. An answer
that comes whole goes the same way, in one chunk: the result is the same for any split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from governance.errors import ScrubError
from governance.privacy.normalise import repair
from governance.privacy.overlaps import Span
from governance.privacy.scrubber import Scrubber
from governance.privacy.vault.tokens import Spelling, spellings
from governance.privacy.windows import Window, Windows

Lookup = Callable[[Spelling], str | None]
"""The value that a token stands for; None: it was never issued, so it stays as it is."""


class Restorer:
    """Restores one answer, chunk by chunk. Not for use by two threads at once.

    Args:
        scrubber: finds what the model made up, in the direction "output"; each find becomes a placeholder.
        lookup: of tokens.
    """

    def __init__(self, scrubber: Scrubber, lookup: Lookup) -> None:
        self._scrubber = scrubber
        self._lookup = lookup
        self._cutter = Windows()
        self._open = True

    def feed(self, chunk: str) -> str:
        """What can be shown now that `chunk` has arrived; often nothing.

        Raises:
            ScrubError: the scrubber can't vouch for the answer, or this answer has ended or failed before.
        """
        return self._shown(chunk)

    def finish(self) -> str:
        """The rest of the answer, which then has ended. Raises as `feed`."""
        return self._shown(None)

    def _shown(self, chunk: str | None) -> str:
        if not self._open:
            raise ScrubError("this answer has ended or failed; begin a stream of its own for each answer")
        self._open = False  # an answer with a window missing must not go on
        windows = self._cutter.finish() if chunk is None else self._cutter.feed(chunk)
        shown = "".join(self._restored(windows)) if windows else ""
        self._open = chunk is not None
        return shown

    def _restored(self, windows: Sequence[Window]) -> list[str]:
        readings = [_read(window, self._lookup) for window in windows]
        found = self._scrubber.find_within([reading.window for reading in readings])
        return [_put_back(reading, spans) for reading, spans in zip(readings, found, strict=True)]


@dataclass(frozen=True, slots=True, repr=False)
class _Reading:
    """A window with its issued tokens in the form that the scrubber leaves alone, and what goes in their places."""

    window: Window
    values: tuple[tuple[int, int, str], ...]  # start, end, value, in positions of the window's text


def _read(window: Window, lookup: Lookup) -> _Reading:
    before, text = repair(window.context), repair(window.text)
    sides: dict[bool, list[tuple[Spelling, str]]] = {True: [], False: []}
    # Read together: a letter before the window's first character may make a token part of a longer word.
    for found in spellings(before + text):
        inside = found.start >= len(before)
        if (inside or found.end <= len(before)) and (value := lookup(found)) is not None:
            sides[inside].append((found, value))
    context, _ = _written(before, sides[False], 0)
    written, values = _written(text, sides[True], len(before))
    return _Reading(Window(context, written), tuple(values))


def _written(text: str, found: list[tuple[Spelling, str]], offset: int) -> tuple[str, list[tuple[int, int, str]]]:
    """The text with tokens as we write them, and where they are."""
    out, values, position, length = [], [], 0, 0
    for spelling, value in found:
        out += [text[position : spelling.start - offset], spelling.token]
        length += len(out[-2]) + len(spelling.token)
        values.append((length - len(spelling.token), length, value))
        position = spelling.end - offset
    return "".join([*out, text[position:]]), values


def _put_back(reading: _Reading, finds: Sequence[Span]) -> str:
    stand_ins = sorted([*reading.values, *((find.start, find.end, f"[{find.entity}]") for find in finds)])
    out, position = [], 0
    for start, end, stand_in in stand_ins:
        out += [reading.window.text[position:start], stand_in]
        position = end
    return "".join([*out, reading.window.text[position:]])
