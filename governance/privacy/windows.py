"""Where an answer may be cut so that it can be read piece by piece: the same places, however it arrives.

A cut depends on the text around it and on where the piece began, never on the chunks of a stream, so an answer
that is read as it streams and one that is read whole go through the same pieces.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from governance.privacy.scripts import HAN

CONTEXT = 256
"""Characters before a window that are read with it: a word that says what a number is, or a value's first half."""
LEAST = 24
"""Characters from which on a window ends at the next sentence: one sentence or two of a chat, in either script."""
FAR = 4096
"""Characters from which on a window also ends between two words, or two Han characters."""
LAST = 8192
"""Characters from which on a window ends anywhere but within a word or number, and `CONTEXT` later within those too."""
AHEAD = 8
"""Characters after a cut that are seen before it is made: what a stream holds back even at a sentence's end."""

_CLOSERS = re.escape("\"')]}*_~`”’»」』】）》〉")
_WIDE = "。！？…"
_CANDIDATE = re.compile(rf"[\s{_WIDE}{_CLOSERS}]")
_NEWLINES = "\n\r\u2028\u2029"
_SENTENCE = re.compile(rf"(?:[.!?…][{_CLOSERS}]*\s{{1,4}}|[{_WIDE}][{_CLOSERS}]*\s{{0,4}})\Z")
_GOES_ON = re.compile(rf"[\s.,;:!?{_WIDE}{_CLOSERS}]")
_SHORT = re.compile(
    # An initial, a list's number, or an abbreviation that a name, a number or the rest of an address follows.
    r"(?:(?<![^\W_])(?:[^\W\d_]|mrs?|ms|mx|dr|prof|rev|hon|capt|lt|col|gen|sgt|sr|jr|ste?|mt|ft|nos?|nr|apt|bldg|fl|rm"
    r"|ave?|blvd|rd|ln|ct|cir|pl|sq|pkwy|hwy|tel|ext|fax|mob|ph|acct|ref|inc|ltd|co|corp|dept|attn|approx|vs)"
    r"|[\n\r]\s{0,4}\d{1,3})\.\s{1,4}\Z",
    re.IGNORECASE,
)
_HAN = re.compile(HAN)
_BESIDE_DIGITS = " \t\n\r\u3000().-+/"
_JOINER = "\u200d"
_SKIN_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"


@dataclass(frozen=True, slots=True, repr=False)
class Window:
    """A piece of an answer. The `text`s of its windows, joined, are the answer.

    Attributes:
        context: up to `CONTEXT` characters before the piece: to read with it, and already passed on.
        text: the piece itself, never empty.
    """

    context: str
    text: str


class Windows:
    """Cuts a text that arrives in chunks. Not for use by two threads at once."""

    def __init__(self) -> None:
        self._before = ""
        self._held: list[str] = []  # what has arrived since the last cut; a long sentence is joined now and then
        self._waiting = 0  # characters in `_held`
        self._decided = 0  # no cut at or before this place in `_held`

    def feed(self, chunk: str) -> list[Window]:
        """The windows that are known to be complete once `chunk` has arrived, in order; often none."""
        self._held.append(chunk)
        self._waiting += len(chunk)
        if self._waiting - AHEAD <= max(self._decided, LEAST - 1):
            return []
        text = "".join(self._held)
        return self._cut(text, len(text) - AHEAD)

    def finish(self) -> list[Window]:
        """The rest of the windows. The object then starts on a new text."""
        text = "".join(self._held)
        windows = self._cut(text, len(text) - 1)
        rest = "".join(self._held)
        if rest:
            windows.append(Window(self._before, rest))
        self._before, self._held, self._waiting, self._decided = "", [], 0, 0
        return windows

    def _cut(self, text: str, limit: int) -> list[Window]:
        """Make the cuts at or before `limit`, and hold the rest of `text`."""
        windows: list[Window] = []
        start, decided = 0, self._decided
        while (place := _next_cut(text, start, start + decided, limit)) is not None:
            windows.append(Window(self._before, text[start:place]))
            self._before = _tail(self._before + text[start:place])
            start, decided = place, 0
        self._held, self._waiting = [text[start:]], len(text) - start
        self._decided = max(decided, limit - start)
        return windows


def windows(text: str) -> list[Window]:
    """A whole text as the windows that `Windows` cuts it into.

    >>> [window.text for window in windows("Your parcel was sent today. It will arrive on Monday.")]
    ['Your parcel was sent today. ', 'It will arrive on Monday.']
    """
    cutter = Windows()
    return [*cutter.feed(text), *cutter.finish()]


def _tail(text: str) -> str:
    tail = text[-CONTEXT:]
    return tail[1:] if _low(tail[:1]) else tail  # half a character is none


def _next_cut(text: str, start: int, decided: int, limit: int) -> int | None:
    """First place after `decided`, up to `limit`, where the window that begins at `start` ends."""
    first = max(decided + 1, start + LEAST)
    for match in _CANDIDATE.finditer(text, first - 1, max(first - 1, min(limit, start + FAR - 1))):
        if _after_sentence(text, match.end()):
            return match.end()
    for place in range(max(first, start + FAR), limit + 1):
        if _after_sentence(text, place) or _between_words(text, place):
            return place
        if place >= start + LAST and not (_one_word(text, place) or _one_character(text, place)):
            return place
        if place >= start + LAST + CONTEXT and not _one_pair(text, place):
            return place
    return None


def _after_sentence(text: str, place: int) -> bool:
    # Never more than LEAST behind: what lies before the window may be gone.
    behind, ahead = text[place - LEAST : place], text[place : place + AHEAD]
    if _one_character(text, place) or _digits_go_on(behind, ahead):
        return False
    if behind[-1] in _NEWLINES:
        return True
    if not _SENTENCE.search(behind) or _SHORT.search(behind):
        return False
    stem = behind.rstrip(_WIDE)
    inside_token = len(stem) < len(behind) and _latin(stem[-1:]) and _latin(ahead[:1])
    return not inside_token and not _GOES_ON.match(ahead)


def _digits_go_on(behind: str, ahead: str) -> bool:
    return behind.rstrip(_BESIDE_DIGITS)[-1:].isdigit() and ahead.lstrip(_BESIDE_DIGITS)[:1].isdigit()


def _between_words(text: str, place: int) -> bool:
    last, following = text[place - 1], text[place]
    if last.isspace():
        return text[place - 2].isalpha() and following.isalpha()
    return bool(_HAN.match(last) and _HAN.match(following))


def _latin(char: str) -> bool:
    plain = unicodedata.normalize("NFKC", char)
    return plain.isascii() and plain.isalnum()


def _one_word(text: str, place: int) -> bool:
    return _in_word(text[place - 1]) and _in_word(text[place])


def _in_word(char: str) -> bool:
    # Invisible and combining characters with it: they may stand in the middle of a number.
    return char.isalnum() or char == "_" or unicodedata.category(char) in ("Cf", "Mn", "Mc", "Me")


def _one_character(text: str, place: int) -> bool:
    """Whether a cut here would tear what people see as one character."""
    last, following = text[place - 1], text[place]
    return (
        last + following == "\r\n"
        or _one_pair(text, place)
        or _JOINER in (last, following)
        or unicodedata.category(following) in ("Mn", "Mc", "Me")
        or following in _SKIN_TONES
    )


def _one_pair(text: str, place: int) -> bool:
    return "\ud800" <= text[place - 1] <= "\udbff" and _low(text[place])


def _low(char: str) -> bool:
    return "\udc00" <= char <= "\udfff"
