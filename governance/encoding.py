"""Texts whose characters were broken on their way: told apart by kind, and mended where the way back is certain.

Row-wise and without settings, so it may stand before a private run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]
Kind = Literal["surrogate", "control", "replacement", "mojibake"]

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # all but tab and line ends
_REPLACEMENT = re.compile("\ufffd+|(?:锟斤拷|锟斤|斤拷)+")  # the second: UTF-8's replacement characters, read as GBK
_NOT_ASCII = re.compile("[^\x00-\x7f]+")
_LATIN = re.compile("[\xa1-\xff]{4,}")  # Chinese read as Latin-1 comes in runs; accents in words don't
_HAN = re.compile("[\u3400-\u9fff\u3000-\u303f\uff00-\uffef·—‘’“”…]+")
MIN_HAN = 3  # characters that a reading as GBK must have before it is believed to be one
LONGEST = 100_000  # characters of a text that are searched for mojibake


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was wrong with a text.

    Attributes:
        text: with all of it mended, or taken out.
        kinds: of what was found; none: the text is as it was.
    """

    text: str
    kinds: frozenset[Kind]


def diagnose(text: str, language: Language = "en") -> Diagnosis:
    r"""Find broken characters and mend them.

    Halves of surrogate pairs are joined or taken out, control characters and marks of lost characters are taken out,
    and mojibake is read as what it was before: UTF-8 taken for a Western encoding (by ftfy), or for GBK; and, in
    Chinese texts, GBK taken for Latin-1.

    >>> diagnose("CafÃ© \x00noir").text
    'Café noir'
    >>> diagnose("璐ㄩ噺寰堝ソ", "zh").text
    '质量很好'
    """
    if text.isascii() and text.isprintable():
        return Diagnosis(text, frozenset())
    kinds: set[Kind] = set()
    if _SURROGATE.search(text):
        kinds.add("surrogate")
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    if not text.isascii() and len(text) <= LONGEST:
        read = _reread(text, language)
        if read != text:
            kinds.add("mojibake")
            text = read
    for pattern, kind in ((_CONTROL, "control"), (_REPLACEMENT, "replacement")):
        if pattern.search(text):
            kinds.add(kind)  # type: ignore[arg-type]
            text = pattern.sub("", text)
    return Diagnosis(text, frozenset(kinds))


def _reread(text: str, language: Language) -> str:
    """The text as it was written, if it can be told that it was read in another encoding."""
    read = _utf8_read_as_gbk(text)
    if read == text and language == "zh":
        read = _LATIN.sub(_gbk_read_as_latin, text)
    if read != text:
        return read
    import ftfy

    return str(ftfy.fix_encoding(text))


def _utf8_read_as_gbk(text: str) -> str:
    """Chinese whose bytes, in GBK, are UTF-8 for Chinese: by chance practically never from three characters on."""
    try:
        read = text.encode("gb18030").decode("utf-8")
    except UnicodeError:
        return text
    kept = "".join(_NOT_ASCII.findall(text))
    found = "".join(_NOT_ASCII.findall(read))
    believed = len(kept) >= MIN_HAN and len(found) >= 2 and _HAN.fullmatch(found) is not None
    return read if believed else text


def _gbk_read_as_latin(run: re.Match[str]) -> str:
    try:
        read = run.group().encode("latin-1").decode("gbk")
    except UnicodeError:
        return run.group()
    return read if _HAN.fullmatch(read) else run.group()
