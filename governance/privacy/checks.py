"""Check digits and formats. Each check says how many leading characters of a candidate are valid, 0: none.

A candidate may run on into text that follows ("… 0130 00 2 days"), so checks that allow
spaces try the longest prefix first and shorten it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

from governance.privacy.quiet import light_import

Check = Callable[[str], int]

_TWO_SERIES = range(2221, 2721)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _prefixes(value: str) -> Iterator[tuple[int, str]]:
    """(length, characters without separators) of every prefix that ends before a separator or at the end."""
    ends = [match.start() for match in re.finditer(r"[ -]", value)]
    for end in (len(value), *reversed(ends)):
        yield end, re.sub(r"[ -]", "", value[:end])


def luhn(digits: str) -> bool:
    """Whether a number's last digit is its Luhn check digit.

    Source:
        ISO/IEC 7812-1, annex B.
    """
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return digits.isdigit() and (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0


def card(value: str) -> int:
    """A payment card: issuer range, length and Luhn digit, spaces and hyphens allowed."""
    for end, digits in _prefixes(value):
        if 12 <= len(digits) <= 19 and _issued(digits) and luhn(digits):
            return end
    return 0


def _issued(digits: str) -> bool:
    if len(digits) == 12:  # Maestro alone is that short: 50, 56 to 69
        return digits.startswith(("50", "56", "57", "58", "6"))
    return digits[0] in "3456" or int(digits[:4]) in _TWO_SERIES or digits.startswith(("1800", "2131"))


@cache
def _iban_formats() -> dict[str, re.Pattern[str]]:
    with light_import():
        from presidio_analyzer.predefined_recognizers.generic.iban_patterns import regex_per_country

    return {country: re.compile(pattern) for country, pattern in regex_per_country.items()}


def iban(value: str) -> int:
    """An IBAN: the country's format and check digits mod 97.

    Source:
        ISO 13616; formats from Presidio's table.
    """
    return next((end for end, compact in _ibans(value) if int(_numeric(compact)) % 97 == 1), 0)


def iban_format(value: str) -> int:
    """An IBAN by its format alone: a mistyped one, next to a word that says what it is."""
    return next((end for end, _ in _ibans(value)), 0)


def _ibans(value: str) -> Iterator[tuple[int, str]]:
    for end, compact in _prefixes(value.upper()):
        pattern = _iban_formats().get(compact[:2])
        if pattern is not None and pattern.fullmatch(compact):
            yield end, compact


def _numeric(compact: str) -> str:
    return "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])


def resident_id(value: str) -> int:
    """A Chinese resident ID of 18 characters: a real date and the check character, mod 11-2.

    Source:
        GB 11643-1999.
    """
    compact = re.sub(r"[ -]", "", value).upper()
    if not resident_date(value):
        return 0
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, compact, strict=False))
    return len(value) if "10X98765432"[total % 11] == compact[17] else 0


def resident_date(value: str) -> int:
    """A number shaped like a resident ID whose middle is a date that has been."""
    compact = re.sub(r"[ -]", "", value)
    born = compact[6:14]
    try:
        day = date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return 0
    return len(value) if date(1890, 1, 1) <= day else 0


def ip_address(value: str) -> int:
    """An IPv4 or IPv6 address, and not `::` or a clock's `1:2`."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return 0
    return 0 if address.is_unspecified else len(value)


def social_security(value: str) -> int:
    """A US social security number by the rules of issue: no group of zeros, area not 666.

    Areas from 900 are taxpayer numbers (ITIN), as personal as the rest, so they count.
    """
    digits = re.sub(r"[ .-]", "", value)
    if digits[:3] in {"000", "666"} or digits[3:5] == "00" or digits[5:] == "0000" or len(set(digits)) == 1:
        return 0
    return len(value)


def web_address(value: str) -> int:
    """A web address without the punctuation that ends its sentence."""
    trimmed = value.rstrip(".,;:!?'\")}*_~|-")
    return len(trimmed) if "." in trimmed else 0
