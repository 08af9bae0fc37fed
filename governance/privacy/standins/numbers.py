"""Stand-ins for numbers with check digits and for identifiers: valid in form, and issued to nobody where that can be.

Each maker takes a number's digits and capital letters and answers with as many, or None where they aren't a
number of its kind (mistyped), which then only keeps its shape.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta

from governance.privacy.standins.draws import Draws, compact, fill, reshape

Maker = Callable[[str, Draws], str | None]

_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_COMPANY_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100: no I, O, S, V, Z
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_POSTAL_WEIGHTS = (8, 6, 4, 2, 3, 5, 9, 7)
_NO_PROVINCE = tuple(
    str(code) for code in range(16, 90) if not code % 10 < {1: 6, 2: 4, 3: 8, 4: 7, 5: 5, 6: 6, 7: 2, 8: 4}[code // 10]
)
"""First two digits, from 16 to 89, that are no province, region or special district in GB/T 2260."""
_NINO_NEVER = ("BG", "GB", "KN", "NK", "NT", "TN", "ZZ")
_BIRTHS = date(1940, 1, 1), 66 * 365  # first day and number of days to draw from
_PLATE = re.compile(r"[\u4e00-\u9fff][A-Z](?P<tail>.+?)(?P<special>[港澳学警挂领使]?)", re.IGNORECASE)
_PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"


def card(number: str, draws: Draws) -> str | None:
    """Luhn-valid and as long, beginning with 59, or with 33 at 14 and 15 digits: no payment scheme's range.

    Schemes own 2221-2720, 30, 34-39, 4, 50-58, 60-69 and 81; the card keeps its length and not its scheme, since no
    scheme sets a range aside that is safe to print.

    Source:
        ISO/IEC 7812-1 (industry digits 3 and 5, Luhn); the schemes' published ranges.
    """
    if not number.isdigit() or not 12 <= len(number) <= 19:
        return None
    body = ("33" if len(number) in (14, 15) else "59") + draws.digits(len(number) - 3)
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in body[::-2])
    return body + str(-(doubled + sum(map(int, body[-2::-2]))) % 10)


def iban(number: str, draws: Draws) -> str | None:
    """Valid mod 97, of the same country and form, with four zeros or X where the bank code begins: no bank has it.

    Belgium gives 000 to a bank: there, the account's own check digits are 00, which they never are.

    Source:
        ISO 13616, ISO 7064.
    """
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", number):
        return None
    country, account = number[:2], number[4:]
    bank = "".join("0" if char.isdigit() else "X" for char in account[:4])
    body = reshape(account[:-2], draws) + "00" if country == "BE" else bank + reshape("0" + account[4:], draws)[1:]
    remainder = int("".join(str(int(char, 36)) for char in f"{body}{country}00")) % 97
    return f"{country}{98 - remainder:02d}{body}"


def social_security(number: str, draws: Draws) -> str | None:
    """Area 900 to 999, which is never a social security number, with a group that is no taxpayer number (ITIN) either.

    Source:
        Social Security Administration, randomization of 2011; Internal Revenue Service, Publication 1915.
    """
    if not number.isdigit() or len(number) != 9:
        return None
    return f"9{draws.digits(2)}{1 + draws.below(49):02d}{1 + draws.below(9999):04d}"


def national_insurance(number: str, draws: Draws) -> str | None:
    """One of the seven prefixes that are never allocated.

    Source:
        HM Revenue and Customs, National Insurance Manual, NIM39110.
    """
    if not re.fullmatch(r"[A-Z]{2}\d{6}[A-D]?", number):
        return None
    return draws.pick(_NINO_NEVER) + draws.digits(6) + (draws.pick("ABCD") if len(number) == 9 else "")


def resident_id(number: str, draws: Draws) -> str | None:
    """A province code that doesn't exist, any birthday from 1940 to 2005, valid mod 11-2; or 15 digits in the old form.

    Source:
        GB 11643-1999, GB/T 2260.
    """
    if not re.fullmatch(r"\d{17}[0-9X]|\d{15}", number):
        return None
    region = draws.pick(_NO_PROVINCE) + draws.digits(4)
    born = (_BIRTHS[0] + timedelta(days=draws.below(_BIRTHS[1]))).strftime("%Y%m%d")
    if len(number) == 15:
        return region + (born[2:] if born < "2000" else "99" + born[4:6] + "15") + draws.digits(3)
    body = region + born + draws.digits(3)
    total = sum(weight * int(digit) for weight, digit in zip(_RESIDENT_WEIGHTS, body, strict=True))
    return body + "10X98765432"[total % 11]


def company_id(number: str, draws: Draws) -> str | None:
    """The same kind of body, a region that doesn't exist, and both check characters valid.

    Source:
        GB 32100-2015, GB 11714-1997.
    """
    if len(number) != 18 or not set(number) <= set(_COMPANY_SIGNS):
        return None
    organisation = "".join(draws.pick(_COMPANY_SIGNS) for _ in range(8))
    values = (int(char, 36) for char in organisation)
    rest = -sum(weight * value for weight, value in zip(_ORGANISATION_WEIGHTS, values, strict=True)) % 11
    body = number[:2] + draws.pick(_NO_PROVINCE) + draws.digits(4) + organisation + ("X" if rest == 10 else str(rest))
    total = sum(_COMPANY_SIGNS.index(char) * pow(3, place, 31) for place, char in enumerate(body))
    return body + _COMPANY_SIGNS[-total % 31]


def lettered(number: str, draws: Draws) -> str | None:
    """The same first letters (kind of document, courier), other digits.

    No range of passports, permits, account or parcel numbers is set aside, so a stand-in may by chance be somebody's.
    """
    found = re.fullmatch(r"([A-Z]{0,5})(\d{4,})([A-Z]{0,2})", number)
    if found is None:
        return None
    if len(found[1]) == len(found[3]) == 2 and len(found[2]) == 9:
        return found[1] + _postal(draws) + found[3]
    return found[1] + reshape(found[2], draws) + found[3]


def _postal(draws: Draws) -> str:
    """Eight digits and their check digit. Source: UPU S10."""
    serial = draws.digits(8)
    rest = sum(weight * int(digit) for weight, digit in zip(_POSTAL_WEIGHTS, serial, strict=True)) % 11
    return serial + str({0: 5, 1: 0}.get(rest, 11 - rest))


def hardware(number: str, draws: Draws) -> str | None:
    """One of the 256 addresses that are kept for documentation.

    Source:
        RFC 7042, 2.1.1.
    """
    return f"00005E0053{draws.below(256):02X}" if len(number) == 12 else None


def plate(value: str, draws: Draws) -> str:
    """A vehicle plate with a city letter that its province doesn't use; an electric one's D or F and 港, 学 or 警 stay.

    Source:
        GA 36-2018; Hainan, Ningxia, Qinghai and Tibet use letters up to J.
    """
    found = _PLATE.fullmatch(value.strip())
    signs = found and compact(found["tail"])
    if found is None or not signs:
        # An embassy's or the armed police's: 使 or WJ and digits.
        return re.sub(r"\d+", lambda run: reshape(run[0], draws), value)
    head = draws.pick("琼宁青藏") + draws.pick("TUVWXYZ")
    new = [_plate_sign(sign, draws, electric=len(signs) == 6 and place in (0, 5)) for place, sign in enumerate(signs)]
    return head + fill(found["tail"], "".join(new)) + found["special"]


def _plate_sign(sign: str, draws: Draws, *, electric: bool) -> str:
    if sign.isdigit():
        return draws.digits(1)
    return sign if electric else draws.pick(_PLATE_LETTERS)


NUMBERS: Mapping[str, Maker] = {
    "CREDIT_CARD": card,
    "IBAN_CODE": iban,
    "US_SSN": social_security,
    "UK_NINO": national_insurance,
    "CN_RESIDENT_ID": resident_id,
    "CN_COMPANY_ID": company_id,
    "PASSPORT": lettered,
    "CN_PASSPORT": lettered,
    "CN_TRAVEL_PERMIT": lettered,
    "TRACKING_NUMBER": lettered,
    "QQ_ID": lettered,
    "MAC_ADDRESS": hardware,
}
"""Entity -> the maker of its stand-ins; all others don't keep to digits and letters alone."""
