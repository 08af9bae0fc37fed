"""Readings of a text for all recognisers: full-width digits, invisible characters and disguised spellings undone.

Recognisers look at the readings; finds are mapped back, so the text itself keeps every character it had. The
first reading only folds characters; further ones decode, and never replace it: decoding can't hide what was visible.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from governance.privacy.entities import Language
from governance.privacy.scripts import CJK, HAN
from governance.privacy.structure.codes import Folded
from governance.privacy.structure.disguise import decoded, unmarked

_UNEVEN = "\0"
"""Stands for a character that folds to none or several. No folded text holds it: control characters are dropped."""
_STABLE = r"\t\n\r -~‘-”、\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff"
_PLAIN = re.compile(r"[\t\n\r -~]*")
_UNSTABLE = re.compile(rf"[^{_STABLE}。]+")
_STOP = re.compile(
    r"。(?<=[A-Za-z0-9]。)(?:(?=[A-Za-z])|(?<![0-9]{4}。)(?=[0-9]{1,3}(?![0-9]))|(?=[0-9]{1,6}[。.][A-Za-z]))"
)
"""A full stop for a dot, as Chinese keyboards type it within domains and IP addresses; not one between two numbers."""
_FREQUENT = tuple(zip("，！？：；（）", ",!?:;()", strict=True))
"""Full-width punctuation that every Chinese text holds: replaced in bulk, which is ten times faster."""
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Shown as nothing by every font, though not all in category Cf. Source: Unicode, Default_Ignorable_Code_Point."""

_HAN = re.compile(HAN)
_LETTER = rf"[^\W\d_{CJK}]"
_WORD = re.compile(rf"(?<![^\W{CJK}])(?:{_LETTER}{{3,}}|[A-Z][a-z]|{_LETTER}[a-z] {{1,2}}{_LETTER}[a-z])(?![^\W{CJK}])")
_TOKEN = rf"[^\W{CJK}](?:[^\W{CJK}]|[._@%+&/:'’-](?=[^\W{CJK}]))*"
_STRETCH = re.compile(rf"{_TOKEN}(?: {{1,2}}{_TOKEN})*")


class _Spellings(dict[str, str]):
    """Character -> its folded form, none, one or several characters; worked out on first sight."""

    def __missing__(self, char: str) -> str:
        self[char] = folded = _spelt_out(char)
        return folded


class _FoldTable(dict[int, str]):
    """Code point -> its folded form if that is one character, else `_UNEVEN`."""

    def __missing__(self, code: int) -> str:
        folded = _SPELLINGS[chr(code)]
        self[code] = kept = folded if len(folded) == 1 else _UNEVEN
        return kept


def _spelt_out(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category in ("Cf", "Me", "Mn") or (category == "Cc" and char not in "\t\n\r") or _IGNORABLE.match(char):
        return ""  # zero-width, bidi and control characters and marks on their own split values
    if category == "Zs":
        return " "
    if category == "Pd" or char == "\N{MINUS SIGN}":
        return "-"
    compatible = unicodedata.normalize("NFKC", char)
    if compatible == char or " " in compatible:
        return char  # an accent by itself would become a space and tear a name apart
    return "".join(_spelt_out(part) for part in compatible)


_SPELLINGS = _Spellings()
_FOLDS = _FoldTable()


def fold(text: str) -> Folded:
    """Undo what hides personal data from patterns, character by character: NFKC, one digit and one dash for all.

    >>> fold("１３８\\u200b００１３").text, fold("⑴ 12㎏ qq。com").text
    ('1380013', '(1) 12kg qq.com')
    >>> fold("a\\u200bb").span(0, 2)
    (0, 3)
    """
    if _PLAIN.fullmatch(text):
        return Folded(text)
    even = text
    for wide, plain in _FREQUENT:
        even = even.replace(wide, plain)
    even = _UNSTABLE.sub(_translated, even)
    if _UNEVEN not in even:
        return Folded(_STOP.sub(".", even))
    return _spread(text, even)


def _spread(text: str, even: str) -> Folded:
    """The folded text where some characters became none or several."""
    out: list[str] = []
    starts: list[int] = []
    position = 0
    place = even.find(_UNEVEN)
    while place >= 0:
        spelt = _SPELLINGS[text[place]]
        out += (even[position:place], spelt)
        starts += range(position, place)
        starts += [place] * len(spelt)
        position = place + 1
        place = even.find(_UNEVEN, position)
    starts += range(position, len(even))
    return Folded(_STOP.sub(".", "".join([*out, even[position:]])), starts)


def _translated(match: re.Match[str]) -> str:
    return match[0].translate(_FOLDS)


def readings(text: str) -> list[Folded]:
    """The folded text, then what it reads as once decoded, then without markup inside words; each only if new.

    Decoded are HTML entities, percent-encoding and `\\\\uXXXX` (twice over), and spellings of @ and dot in words.
    Take the finds of all readings together.

    >>> [reading.text for reading in readings("<b>john</b>&#64;example.com")]
    ['<b>john</b>&#64;example.com', '<b>john</b>@example.com', 'john@example.com']
    >>> len(readings("Fits well (size M), 100% cotton & lovely"))
    1
    """
    found = [fold(text)]
    for step in (decoded, unmarked):
        changed = step(found[-1])
        if changed is not None:
            found.append(_folded(changed))
    return found


def _folded(reading: Folded) -> Folded:
    """A decoded reading, folded again: a code may stand for a full-width or an invisible character."""
    again = fold(reading.text)
    if again.starts is None or reading.starts is None or reading.ends is None:
        return Folded(again.text, reading.starts, reading.ends)
    return Folded(
        again.text,
        [reading.starts[place] for place in again.starts],
        [reading.ends[place] for place in again.starts],
    )


def repair(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD and pairs joined: what UTF-8 can hold.

    >>> repair("\\ud83d\\ude00 \\ud800") == "\\U0001f600 \\ufffd"
    True
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a text for the models of one language."""

    start: int
    end: int
    language: Language


def segments(text: str) -> list[Segment]:
    """Stretches by script: together they are the text, in order. A text of one language is one segment.

    An alphabetic word of three letters or more, a capitalised one of two, or two short ones in a row make an "en"
    stretch, with the address or number they stand in. Numbers, punctuation, sizes and initials go with the Han
    characters beside them.

    >>> [(piece.language, piece.start, piece.end) for piece in segments("我叫John Smith，住在上海")]
    [('zh', 0, 2), ('en', 2, 12), ('zh', 12, 17)]
    """
    if not text:
        return []
    if not _HAN.search(text):
        return [Segment(0, len(text), "en")]
    latin: list[list[int]] = []
    for stretch in _STRETCH.finditer(text):
        start, end = stretch.span()
        if not _WORD.search(text, start, end):
            continue
        if latin and not _HAN.search(text, latin[-1][1], start):
            latin[-1][1] = end
        else:
            latin.append([start, end])
    if latin and not _HAN.search(text, 0, latin[0][0]):
        latin[0][0] = 0
    if latin and not _HAN.search(text, latin[-1][1]):
        latin[-1][1] = len(text)
    return list(_tiled(latin, len(text)))


def _tiled(latin: list[list[int]], length: int) -> Iterator[Segment]:
    position = 0
    for start, end in latin:
        if start > position:
            yield Segment(position, start, "zh")
        yield Segment(start, end, "en")
        position = end
    if position < length:
        yield Segment(position, length, "zh")
