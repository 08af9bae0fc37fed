"""Partial masks: what people know a value again by, and never more than a third of its letters and digits.

A third is a bound on every value, however short: of the eleven digits of a mobile number three stay, of a name of two
characters none. Identifiers that stand for one person (IDs, passports, wallets, accounts) keep nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

HIDDEN = "*"
SHARE = 3
"""One in so many letters and digits may stay."""

_PROVINCE = re.compile(r"[\u4e00-\u9fff]{2,3}?(?:省|自治区)")
_CITY = re.compile(r"(?:省|自治区|^)(?P<keep>[\u4e00-\u9fff]{2,7}?市)")
_DISTRICT = re.compile(r"市(?P<keep>[\u4e00-\u9fff]{1,6}?(?:区|县))")
_TOWN_AHEAD_OF_CODE = re.compile(
    r",\s*(?P<keep>[^\W\d_][^\d,]*?),?\s+(?:[A-Z]{2}\s+\d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z0-9]?\s?\d[A-Z]{2})$",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"^(?P<keep>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)

Groups = Iterable[Sequence[int]]


def mask(entity: str, value: str) -> str:
    """The value with stars for most of its letters and digits; separators stay.

    >>> mask("CREDIT_CARD", "4111 1111 1111 1234"), mask("PERSON", "Jane Smith"), mask("PERSON", "张小明")
    ('**** **** **** 1234', 'J*** S****', '张**')
    """
    places = [place for place, char in enumerate(value) if char.isalnum()]
    left = len(places) // SHARE
    kept: set[int] = set()
    for group in _KEPT[entity](value, places) if entity in _KEPT else ():
        fresh = {place for place in group if value[place].isalnum()} - kept
        # A group stays whole or not at all: half a city's name helps nobody.
        if len(fresh) <= left:
            kept |= fresh
            left -= len(fresh)
    return "".join(HIDDEN if _tells(char) and place not in kept else char for place, char in enumerate(value))


def _tells(char: str) -> bool:
    """Whether a character is a letter, a digit or an accent on one."""
    return char.isalnum() or unicodedata.combining(char) > 0


def _last(count: int) -> Callable[[str, Sequence[int]], Groups]:
    def groups(_: str, places: Sequence[int]) -> Groups:
        # The longest ending that the bound allows, up to `count`.
        return [places[-min(count, len(places) // SHARE) :]] if len(places) >= SHARE else []

    return groups


def _first_letters(value: str, places: Sequence[int]) -> Groups:
    return [[place] for place in places if value[place].isalpha() and not value[place - 1 : place].isalnum()]


def _mailbox(value: str, places: Sequence[int]) -> Groups:
    at, dot = max(value.rfind("@"), value.rfind("＠")), max(value.rfind("."), value.rfind("．"))
    ending = [place for place in places if place > dot] if dot > at else []
    return [places[:1], ending, [place for place in places if place > at][:1]] if at > 0 else []


def _account_number(value: str, places: Sequence[int]) -> Groups:
    return [*_last(4)(value, places), places[:2]]


def _area(value: str, _: Sequence[int]) -> Groups:
    found = [pattern.search(value) for pattern in (_CITY, _TOWN_AHEAD_OF_CODE, _PROVINCE, _DISTRICT)]
    return [range(*match.span("keep" if "keep" in match.re.groupindex else 0)) for match in found if match]


def _province_sign(_: str, places: Sequence[int]) -> Groups:
    return [places[:1]]


def _scheme(value: str, _: Sequence[int]) -> Groups:
    found = _SCHEME.search(value)
    return [range(*found.span("keep"))] if found else []


_KEPT: Mapping[str, Callable[[str, Sequence[int]], Groups]] = {
    "PERSON": _first_letters,
    "STREET_ADDRESS": _area,
    "EMAIL_ADDRESS": _mailbox,
    "PHONE_NUMBER": _last(4),
    "CREDIT_CARD": _last(4),
    "IBAN_CODE": _account_number,
    "TRACKING_NUMBER": _last(4),
    "URL": _scheme,
    "CN_LICENSE_PLATE": _province_sign,
}
"""Entity -> groups of positions that may stay, the most telling first; any other entity keeps none."""
