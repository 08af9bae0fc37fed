"""One reading of a text for all recognisers: full-width digits, odd dashes and invisible characters undone.

Recognisers look at the folded text; finds are mapped back, so the text itself keeps every character it had.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from governance.privacy.policy import Language

_PLAIN = re.compile(r"[\t\n\r -~]*")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_LETTERS = re.compile(r"[^\W\d_]")
HAN_SHARE = 0.2
"""Share of Han characters among letters from which on a text counts as Chinese: one Han character says
about as much as a word of four letters."""


class _FoldTable(dict[int, str]):
    """Code point -> its folded form, one character or none, worked out on first sight."""

    def __missing__(self, code: int) -> str:
        self[code] = folded = _fold(chr(code))
        return folded


def _fold(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.digit(char))
    if category == "Cf" or (category == "Cc" and char not in "\t\n\r"):
        return ""  # zero-width, bidi and control characters split numbers and addresses invisibly
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    compatible = unicodedata.normalize("NFKC", char)
    return compatible if len(compatible) == 1 else char


_FOLDS = _FoldTable()


@dataclass(frozen=True, slots=True, repr=False)
class Folded:
    """A text as recognisers read it.

    Attributes:
        text: the folded text.
        origin: position in the original of each folded character; None where they are the same.
    """

    text: str
    origin: Sequence[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A non-empty stretch of the folded text, as a stretch of the original."""
        if self.origin is None:
            return start, end
        return self.origin[start], self.origin[end - 1] + 1


def fold(text: str) -> Folded:
    """Undo what hides personal data from patterns, character by character.

    >>> fold("１３８\\u200b００１３").text
    '1380013'
    >>> fold("a\\u200bb").span(0, 2)
    (0, 3)
    """
    if _PLAIN.fullmatch(text):
        return Folded(text, None)
    folded = text.translate(_FOLDS)
    if len(folded) == len(text):
        return Folded(folded, None)
    return Folded(folded, [place for place, char in enumerate(text) if _FOLDS[ord(char)]])


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


def language_of(text: str) -> Language:
    """ "zh" where Han characters make up a fair share of the letters, else "en".

    >>> language_of("这条裙子很显瘦 size M"), language_of("Runs small. 好看")
    ('zh', 'en')
    """
    han = len(_HAN.findall(text))
    return "zh" if han and han >= HAN_SHARE * len(_LETTERS.findall(text)) else "en"
