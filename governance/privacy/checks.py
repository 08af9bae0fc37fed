"""Check digits and formats. Each check says how many leading characters of a candidate are valid, 0: none.

A candidate may run on into text that follows ("… 0130 00 2 days"), so checks that allow
spaces try the longest prefix first and shorten it.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

from governance.privacy.quiet import light_import

Check = Callable[[str], int]

_SEPARATOR = re.compile(r"[\s._/-]")
_TWO_SERIES = range(2221, 2721)
_MAESTRO = ("50", "56", "57", "58", "6304", "6390", "67")
_PROVINCES = frozenset(
    (
        "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91"
    ).split()
)
"""First two digits of GB/T 2260 region codes, and of those for people from Hong Kong, Macao, Taiwan and abroad."""
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _prefixes(value: str) -> Iterator[tuple[int, str]]:
    """(length, characters without separators) of every prefix that ends before a separator or at the end."""
    ends = [match.start() for match in _SEPARATOR.finditer(value)]
    for end in (len(value), *reversed(ends)):
        yield end, _SEPARATOR.sub("", value[:end])


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
    if len(digits) > 16:
        return digits.startswith((*_MAESTRO, "4", "60", "62", "64", "65", "68", "81", "95588"))
    if len(digits) in (12, 13):  # a barcode's length: Maestro's own prefixes, and old Visa cards
        return digits.startswith(_MAESTRO) or (len(digits) == 13 and digits[0] == "4")
    return digits[0] in "3456" or int(digits[:4]) in _TWO_SERIES or digits.startswith(("1800", "2131", "95588"))


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
    """A number shaped like a resident ID: a province that exists, and a real date from 1890 on."""
    compact = re.sub(r"[ -]", "", value)
    born = compact[6:14]
    try:
        day = date(int(born[:4]), int(born[4:6]), int(born[6:]))
    except ValueError:
        return 0
    return len(value) if date(1890, 1, 1) <= day and compact[:2] in _PROVINCES else 0


def ip_address(value: str) -> int:
    """An IPv4 or IPv6 address, and not `::` or a clock's `1:2`."""
    try:
        address = ipaddress.ip_address(re.sub(r"(?<![\dA-Fa-f:])0+(?=\d)", "", value))  # 192.168.001.010
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


def card_length(value: str) -> int:
    """A number as long as a card's: a mistyped one, next to a word that says what it is."""
    return next((end for end, digits in _prefixes(value) if 12 <= len(digits) <= 19), 0)


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@cache
def _bech32() -> Callable[[str], object]:
    with light_import():
        from presidio_analyzer.predefined_recognizers import CryptoRecognizer

    return CryptoRecognizer().validate_result  # type: ignore[no-any-return]


def wallet(value: str) -> int:
    """A Bitcoin or Tron address by its checksum: Base58Check, or Bech32 as Presidio computes it."""
    if value.startswith("bc1"):
        return len(value) if _bech32()(value) else 0
    number = 0
    for char in value:
        number = number * 58 + _BASE58.index(char)
    if number.bit_length() > 200:
        return 0
    payload, given = (raw := number.to_bytes(25, "big"))[:21], raw[21:]
    return len(value) if hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4] == given else 0


def national_insurance(value: str) -> int:
    """A UK national insurance number by the prefixes that are given out.

    Source:
        HMRC, National Insurance Manual NIM39110.
    """
    prefix = value[:2].upper()
    barred = prefix in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"} or set(prefix) & set("DFIQUV") or prefix[1] == "O"
    return 0 if barred else len(value)


def national_insurance_spaced(value: str) -> int:
    """One written in pairs; without spaces it could be any shop's article number."""
    return national_insurance(value) if " " in value else 0


def international(value: str) -> int:
    """A telephone number with a country code: 8 to 15 digits (ITU-T E.164)."""
    return len(value) if 8 <= sum(char.isdigit() for char in value) <= 15 else 0


def british(value: str) -> int:
    """A British number with its 0: 10 or 11 digits, in groups or all in one if it is a mobile's."""
    digits = re.sub(r"\D", "", value)
    if digits.startswith(("080", "084", "087", "03")):  # free of charge or shared cost: a shop's
        return 0
    grouped = len(digits) < len(value)
    return (
        len(value)
        if (len(digits) == 11 and (grouped or digits.startswith("07"))) or (len(digits) == 10 and grouped)
        else 0
    )


def legacy_resident_id(value: str) -> int:
    """A resident ID of 15 digits, as issued until 1999: a region that exists and a real date."""
    born = value[6:12]
    try:
        date(1900 + int(born[:2]), int(born[2:4]), int(born[4:]))
    except ValueError:
        return 0
    return len(value) if value[:2] in _PROVINCES else 0


_REGISTRARS = "123456789ANY"
_CREDIT_CODE = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def company_id(value: str) -> int:
    """A unified social credit code: 18 characters, the last one checks the others mod 31.

    Source:
        GB 32100-2015.
    """
    code = value.upper()
    # Who registered it, and where: without these, every 31st number of 18 digits would pass.
    if len(code) != 18 or code[0] not in _REGISTRARS or code[2:4] not in _PROVINCES or set(code) - set(_CREDIT_CODE):
        return 0
    total = sum(_CREDIT_CODE.index(char) * pow(3, place, 31) for place, char in enumerate(code[:17]))
    return len(value) if _CREDIT_CODE[-total % 31] == code[17] else 0


def plate(value: str) -> int:
    """A Chinese vehicle plate with two digits in it: letters alone after a province's character are a word."""
    return len(value) if sum(char.isdigit() for char in value) > 1 else 0
