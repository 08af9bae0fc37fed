"""Stand-ins for telephone numbers, in the value's own grouping, from numbers that nobody can be called on.

North America: 555-0100 to 555-0199 in a random area code, which NANPA keeps for fiction. United Kingdom: Ofcom's
numbers for drama. Mainland China reserves none: mobile numbers begin with 154, which no operator has been given
(libphonenumber's metadata agrees), landlines with the area codes 026 and 0640, which aren't in use. Elsewhere three
zeros follow the country code, as in no numbering plan but those of `_ZERO_IS_USED`, whose stand-ins may be somebody's.
"""

from __future__ import annotations

import re

from governance.privacy.standins.canonical import DIALLED, narrow
from governance.privacy.standins.draws import Draws, compact, fill, reshape

_EXTENSION = re.compile(r"(?i)\s*(?:,|;|x|ext\.?|extension|转|分机)+\s*[:：]?\s*\d{1,6}$")
_COUNTRY = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2\d\d|3[578]\d|42\d|5[09]\d|6[789]\d|8[0578]\d|9[679]\d"
)
"""Country codes. Source: ITU-T E.164 list of 2016."""
_ZERO_IS_USED = frozenset({"39", "225", "241", "242", "378", "379", "598", "992"})
_AREAS = tuple(
    str(area)
    for area in range(200, 990)
    if area // 10 % 10 != 9 and area % 100 != 11 and area not in {800, 822, 833, 844, 855, 866, 877, 888, 900}
)
_DRAMA = (
    *(f"{area}4960" for area in ("113", "114", "115", "116", "117", "118", "121", "131", "141", "151", "161")),
    "1914980",
    "2079460",
    "2896496",
    "2920180",
    "1632960",
)
"""Landline numbers without the 0 and the last three digits. Source: Ofcom, telephone numbers for drama use."""
_CHINESE_LANDLINE = re.compile(r"\(?0(?:10|2\d|[3-9]\d{2})\)?[- ]?[2-9]\d{6,7}")


def phone(value: str, draws: Draws) -> str:
    """Another telephone number, grouped alike; an extension keeps its word."""
    found = _EXTENSION.search(value)
    main = value[: found.start()] if found else value
    rest = re.sub(r"\d+", lambda run: reshape(run[0], draws), value[len(main) :])
    digits = compact(main)
    if digits is None or not digits.isdigit():
        return reshape(main, draws) + rest
    return fill(main, _digits(digits, main, draws)) + rest


def _digits(digits: str, written: str, draws: Draws) -> str:
    if DIALLED.match(narrow(written)) or re.fullmatch(r"861[3-9]\d{9}|12\d{2}[2-9]\d{6}", digits):
        return _international(digits, draws)
    if digits.startswith("00") and len(digits) > 10:
        return "00" + _international(digits[2:], draws)
    return _national(digits, written, draws)


def _international(digits: str, draws: Draws) -> str:
    found = _COUNTRY.match(digits)
    code = found[0] if found else ""
    number = digits[len(code) :]
    trunk = "0" if number.startswith("0") and code in {"44", "86"} else ""
    number = number[len(trunk) :]
    if code == "1" and len(number) == 10:
        new = _north_american(draws)
    elif code == "44" and len(number) in (9, 10):
        new = _british(number, draws)
    elif code == "86" and re.fullmatch(r"1[3-9]\d{9}", number):
        new = _chinese_mobile(draws)
    elif code == "86" and len(number) >= 9:
        new = _chinese_landline(number, draws)
    else:
        new = reshape(number, draws) if code in _ZERO_IS_USED else "000" + draws.digits(max(0, len(number) - 3))
    return code + trunk + new[: len(number)]


def _national(digits: str, written: str, draws: Draws) -> str:
    if re.fullmatch(r"1[3-9]\d{9}", digits):
        return _chinese_mobile(draws)
    if re.fullmatch(r"[2-9]\d{2}[2-9]\d{6}", digits):
        return _north_american(draws)
    if re.fullmatch(r"[2-9]\d{6}", digits):
        return f"55501{draws.digits(2)}"
    if _CHINESE_LANDLINE.fullmatch(written):
        return "0" + _chinese_landline(digits[1:], draws)
    if re.fullmatch(r"0\d{9,10}", digits):
        return "0" + _british(digits[1:], draws)[: len(digits) - 1]
    return reshape(digits, draws)  # whose number it is can't be told, so neither what is reserved


def _north_american(draws: Draws) -> str:
    return f"{draws.pick(_AREAS)}55501{draws.digits(2)}"


def _british(number: str, draws: Draws) -> str:
    return ("7700900" if number.startswith("7") else draws.pick(_DRAMA)) + draws.digits(3)


def _chinese_mobile(draws: Draws) -> str:
    return f"154{draws.digits(8)}"


def _chinese_landline(number: str, draws: Draws) -> str:
    area = "26" if number.startswith(("10", "2")) else "640"
    return f"{area}{2 + draws.below(7)}{draws.digits(len(number) - len(area) - 1)}"
