"""Tokens that stand for hidden values, in every spelling that a model may give them back in.

A token is `[PERSON_482139]`: an entity and a random number that ends in a check digit, so that a number with one
digit wrong is nobody's token. A spelling counts only where nothing else can be meant; any other text stays.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Container, Iterator
from dataclasses import dataclass

from governance.privacy.checks import luhn
from governance.privacy.entities import ENTITIES
from governance.privacy.normalise import fold
from governance.privacy.overlaps import LITERAL
from governance.privacy.standins.canonical import narrow

MOST = 40_000
"""Tokens in one session: half of all numbers, so that a free one is found at once."""

_DIGITS = r"(?!19|20)[1-9]\d{5}"  # not a year with a month; models write those on their own
_GAP = r"[ \t]{0,2}(?:\\?[_#-])?[ \t]{0,2}"
_PAIRS = (("[［【〔〖", "]］】〕〗"), ("(（", ")）"), ("{｛", "}｝"), ("<＜〈", ">＞〉"))
_CLOSING = {
    opening: re.compile(rf"[ \t]{{0,2}}\\?[{re.escape(closers)}]") for openers, closers in _PAIRS for opening in openers
}
_LABELS = {re.sub("[^A-Z]", "", label): label for label in (*ENTITIES, LITERAL)}
_LABEL = "|".join(label.replace("_", _GAP) for label in sorted(_LABELS.values(), key=len, reverse=True))
_SPELLING = re.compile(
    # No other letter or digit may touch it on either side, nor a fraction or a range follow: that is another number.
    rf"(?:\\?(?P<opening>[{re.escape(''.join(_CLOSING))}])[ \t]{{0,2}})?(?<![A-Za-z0-9_])(?P<label>{_LABEL}){_GAP}"
    rf"(?P<number>{_DIGITS})(?![A-Za-z0-9_]|[.,-]\d)",
    re.IGNORECASE | re.ASCII,
)
_NUMBER = re.compile(rf"(?<!\d){_DIGITS}(?!\d)", re.ASCII)
_SPACED = frozenset({"PERSON", "STREET_ADDRESS", "WECHAT_ID", "ALIPAY_ID", "EMAIL_ADDRESS", "IP_ADDRESS"})
_EXACT = frozenset({"URL", "CRYPTO"})


@dataclass(frozen=True, slots=True, order=True)
class Spelling:
    """Where a text says something that reads like a token, and which token that would be."""

    start: int
    end: int
    label: str
    number: int

    @property
    def token(self) -> str:
        """The token as we write it."""
        return write(self.label, self.number)


def write(label: str, number: int) -> str:
    """A token as it is sent.

    >>> write("PERSON", 482139)
    '[PERSON_482139]'
    """
    return f"[{label}_{number}]"


def spellings(text: str) -> Iterator[Spelling]:
    """Everything in a text that reads like a token, issued or not, in order and disjoint.

    >>> [found.token for found in spellings("Dear person 482133, 【Ｐｅｒｓｏｎ－482133】好")]
    ['[PERSON_482133]', '[PERSON_482133]']
    """
    folded = fold(text)
    for match in _SPELLING.finditer(folded.text):
        number = match["number"]
        if luhn(number):
            start, end = _extent(folded.text, match)
            start, end = folded.span(start, end)
            yield Spelling(start, end, _LABELS[re.sub("[^A-Z]", "", match["label"].upper())], int(number))


def _extent(text: str, match: re.Match[str]) -> tuple[int, int]:
    """With its brackets where both are there; a lone one belongs to the sentence."""
    opening = match["opening"]
    closing = _CLOSING[opening].match(text, match.end()) if opening else None
    return (match.start(), closing.end()) if closing else (match.start("label"), match.end())


def numbers(text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, number) of each run of digits in a text that could be a token's number."""
    folded = fold(text)
    for match in _NUMBER.finditer(folded.text):
        if luhn(match[0]):
            yield (*folded.span(*match.span()), int(match[0]))


def draw(taken: Container[int]) -> int:
    """A random number of six digits for a token: not taken, and with a valid check digit."""
    while True:
        number = secrets.randbelow(900_000) + 100_000
        if _NUMBER.fullmatch(str(number)) and luhn(str(number)) and number not in taken:
            return number


def same_value(entity: str, value: str) -> str:
    """What spellings of one value have in common, whatever each was found as, and two values never do.

    Stricter than `canonical`: who gets another's value back is hurt more than who gets two tokens for one.

    >>> same_value("PHONE_NUMBER", "138 0013 8000") == same_value("QQ_ID", "１３８００１３８０００")
    True
    >>> same_value("PHONE_NUMBER", "0571-5555666-7") == same_value("PHONE_NUMBER", "0571-55556667")
    False
    >>> same_value("STREET_ADDRESS", "1-23 Main St") == same_value("STREET_ADDRESS", "12-3 Main St")
    False
    """
    if entity == LITERAL:
        return f"={value}"
    if entity in _EXACT:
        return value
    plain = narrow(value).casefold()
    # A hyphen may set off an extension or one parcel of several, and a bracket may be the sentence's: only spaces go.
    return (" " if entity in _SPACED else "").join(plain.split())
