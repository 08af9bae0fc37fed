"""Disguised spellings within a running text: codes, words for @ and dot, markup inside words."""

from __future__ import annotations

import re

from governance.privacy.structure.codes import (
    PERCENT,
    REFERENCE,
    UNICODE_ESCAPE,
    Edit,
    Folded,
    edits,
    percent,
    referenced,
    unicode_escape,
)

LEVELS = 2
"""How often codes may be encoded again: `%2540` is `%40` is `@`."""

_TLD = "(?:com|net|org|edu|gov|info|biz|cn|hk|tw|uk|us|ca|au|de|fr|jp|kr|sg|in|io|me|co|cc|tv|top|vip|xyz|app|dev|shop)"
_LABEL = "[a-z0-9-]{1,63}"
_ODD_DOT = r"(?:\s{0,2}[\[({【]\s?(?:dot|\.|点|點)\s?[\])}】]\s{0,2}|\s{0,2}[点點]\s{0,2}|\s{1,3}dot\s{1,3})"
_ODD_DOMAIN = rf"{_LABEL}(?:(?:\.|{_ODD_DOT}){_LABEL}){{0,3}}{_ODD_DOT}{_TLD}(?![a-z0-9])"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL}){{0,3}}\.{_TLD}(?![a-z0-9])"
_AT = re.compile(
    r"\s{0,2}[\[({【]\s?(?:at|@|艾特|(?<=\[)#(?=\]))\s?[\])}】]\s{0,2}|(?<=[a-z0-9])\s{0,2}艾特\s{0,2}(?=[a-z0-9])"
    # Ordinary English says "at", and even "shop at example.com": a word counts only before a domain with an odd dot,
    # or in capitals after something that isn't.
    rf"|(?<=[a-z0-9])\s{{1,3}}at\s{{1,3}}(?={_ODD_DOMAIN})|(?-i:(?<=[a-z0-9])\s{{1,3}}AT\s{{1,3}})(?={_DOMAIN})",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"[\[({【]\s?(?:[aA][tT]|[@#]|艾特)\s?[\])}】]")
_DOT = re.compile(
    r"\s{0,2}[\[({【]\s?(?:dot|\.|点|點)\s?[\])}】]\s{0,2}"
    r"|(?<=[a-z])\s{0,2}[点點]\s{0,2}(?=[a-z0-9])|(?<=[0-9])\s{0,2}[点點]\s{0,2}(?=[a-z])"
    rf"|(?<=[a-z0-9])\s{{1,3}}dot\s{{1,3}}(?={_TLD}(?![a-z0-9])|{_LABEL}(?:\s{{1,3}}dot\s|\s{{0,2}}[@.]))",
    re.IGNORECASE,
)

_INLINE_TAGS = (
    "a|abbr|b|bdi|bdo|big|cite|code|data|del|dfn|em|font|i|ins|kbd|label|mark|nobr|q|rp|rt|ruby|s|samp|small|span|"
    "strike|strong|sub|sup|time|tt|u|var|wbr"
)
"""Tags that a browser shows no gap for."""
_TAG = r"</?(?P<tag>[A-Za-z][A-Za-z0-9]{0,15})(?:[\s/][^<>]*)?>|<!--[^<>]*-->"
_STARS = r"(?<!\*)(?:\*{2,3}|\*(?![0-9])|(?<![0-9])\*)(?!\*)"
_MARKUP = re.compile(rf"{_TAG}|{_STARS}|`{{1,3}}|~~|\\(?=[!-/:-@\[-`{{-~])")
"""Markup to read past. One star between digits is more often a sign of multiplication."""
_is_inline = re.compile(_INLINE_TAGS, re.IGNORECASE).fullmatch
_INSIDE = re.compile(
    rf"(?<=[\w@.+-])(?:{_STARS}|`{{1,2}}|~~)(?=[\w@+]|[.-]\w)|(?<=\w)\\[_@.+-]|"
    rf"</?(?:{_INLINE_TAGS})(?:[\s/][^<>]*)?>|<!--[^<>]*-->",
    re.IGNORECASE,
)


def is_inline(tag: str) -> bool:
    """Whether text on both sides of this HTML tag is read without a gap.

    >>> is_inline("SPAN"), is_inline("td")
    (True, False)
    """
    return _is_inline(tag) is not None


def decoded(reading: Folded) -> Folded | None:
    """The reading with codes and words for @ and dot undone; None where it holds none."""
    plain = reading
    for _ in range(LEVELS):
        for mark, pattern, decode in (
            ("&", REFERENCE, referenced),
            ("%", PERCENT, percent),
            ("\\u", UNICODE_ESCAPE, unicode_escape),
        ):
            if mark in plain.text and (changes := edits(pattern, decode, plain.text)):
                plain = plain.edited(changes)
    if _may_say_at(plain.text):
        plain = _with(plain, _AT, "@")
    if "@" in plain.text or "www" in plain.text:
        plain = _with(plain, _DOT, ".")
    return None if plain is reading else plain


def _may_say_at(text: str) -> bool:
    if "艾特" in text or " AT " in text or _BRACKETED.search(text):
        return True
    return " at " in text and ("dot" in text or "点" in text or "點" in text)


def _with(reading: Folded, pattern: re.Pattern[str], plain: str) -> Folded:
    changes = edits(pattern, lambda _: plain, reading.text)
    return reading.edited(changes) if changes else reading


def unmarked(reading: Folded) -> Folded | None:
    """The reading without HTML tags and Markdown emphasis; None where no word is broken up by them."""
    # Most texts hold none of these marks, and a scan for one character is a hundred times faster than the pattern.
    if not any(mark in reading.text for mark in "<*`~\\") or not _INSIDE.search(reading.text):
        return None
    return reading.edited(_markup(reading.text))


def _markup(text: str) -> list[Edit]:
    return [
        (match.start(), match.end(), "" if match["tag"] is None or is_inline(match["tag"]) else " ")
        for match in _MARKUP.finditer(text)
    ]
