"""The numbers in a text, in English and Chinese: amounts, prices, percentages and dates, each under one spelling.

"1,299.00", "30 days", "thirty days", "三十天", "15%", "百分之十五", "March 5" and "3月5日" are read; a value keeps its
per cent sign and loses its unit. Codes ("A4", "iPhone15", "<PHONE_1>") are words, not numbers. The words for one,
and Chinese numerals that no unit follows ("统一", "十分"), claim nothing: they count only where a text is searched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from evaluators.tasks.tokens import fold

_MONTHS = dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13), strict=True))
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_DATES = [
    re.compile(r"(?<!\d)(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)"),
    re.compile(r"(?:(?P<year>\d{4})年)?(?<!\d)(?P<month>\d{1,2})月(?P<day>\d{1,2})[日号]"),
    re.compile(rf"\b{_MONTH}\s{_DAY}\b(?:,?\s(?P<year>\d{{4}})\b)?"),
    re.compile(rf"\b{_DAY}\s(?:of\s)?{_MONTH}(?![a-z])(?:,?\s(?P<year>\d{{4}})\b)?"),
]
_DIGITS = re.compile(
    r"(?<![a-z0-9_])(?<!\d\.)(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.(?P<part>\d+))?"
    r"(?P<times>\s?(?:hundred|thousand|million|万|亿|百(?!分)|千(?!克|瓦|米))|k(?![a-z0-9]))?"
    r"(?P<cent>\s?(?:%|per\s?cent\b))?"
)
_ZEROS = {"hundred": 2, "thousand": 3, "k": 3, "million": 6, "百": 2, "千": 3, "万": 4, "亿": 8}
_CLOCK = re.compile(r"(?<=\d):00(?!\d)")  # 9:00 is 9

_UNITS = dict(zip("one two three four five six seven eight nine".split(), range(1, 10), strict=True))
_TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_SMALL = {**_UNITS, **dict(zip(_TEENS, range(10, 20), strict=True)), **_TENS}
_ENGLISH = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})[-\s](?P<unit>{'|'.join(_UNITS)})|(?P<small>{'|'.join(_SMALL)}))\b"
)
_MULTIPLIED = re.compile(r"\s?(?:hundred|thousand|million|per\s?cent|%)")

_HAN_DIGITS = {"零": 0, "〇": 0, "一": 1, "二": 2, "两": 2, **{c: i for i, c in enumerate("三四五六七八九", 3)}}
_HAN_TENS = {"十": 10, "百": 100, "千": 1000}
_HAN = f"[{''.join(_HAN_DIGITS)}十百千万亿]{{1,12}}"
_MEASURES = (
    "天|日|号|年|周|星期|小时|分钟|秒|元|块|角|折|件|份|包|箱|次|倍|岁|级|人|期|米|厘米|毫米|公斤|斤|克|升|毫升|寸|英寸"
    "|月|个(?:月|工作日|小时|星期)|工作日"
)
_CHINESE = re.compile(rf"百分之(?P<share>{_HAN}|\d+(?:\.\d+)?)|(?<!\d)(?<!\d\s)(?P<count>{_HAN})(?={_MEASURES})")
_CHINESE_LOOSE = re.compile(_HAN)


def claimed(text: str) -> tuple[frozenset[str], str]:
    """The numbers that a text states, and the text with them taken out, folded.

    >>> claimed("Within thirty days of March 5, for $1,299.00")[0] == {"30", "3-5", "1299"}
    True
    >>> claimed("三月五日起七天内退货，收百分之十五，统一处理")[0] == {"3-5", "7", "15%"}
    True
    """
    found: set[str] = set()
    rest = _in_digits(text)
    for pattern in _DATES:
        rest = pattern.sub(lambda match: _keep(found, _date(match)), rest)
    rest = _DIGITS.sub(lambda match: _keep(found, [_number(match)]), rest)
    return frozenset(found), rest


def held(text: str) -> frozenset[str]:
    """Every number that a text may be said to hold: what it states, parts of its dates, and any word for a number."""
    digits = _in_digits(text)
    found = set(claimed(text)[0])
    for pattern in _DATES:
        for match in pattern.finditer(digits):
            found |= {str(_month(match["month"])), _plain(match["day"])}
    found |= {str(_han_value(match[0])) for match in _CHINESE_LOOSE.finditer(digits)}
    found |= {str(_english_value(match)) for match in _ENGLISH.finditer(digits)}
    return frozenset(found)


def _keep(found: set[str], keys: Iterable[str]) -> str:
    found.update(keys)
    return " "


def _in_digits(text: str) -> str:
    """A text folded, with numbers in words written as digits where they claim something."""

    def chinese(match: re.Match[str]) -> str:
        if match["share"]:
            return f"{match['share'] if match['share'][0].isdecimal() else _han_value(match['share'])}%"
        # Alone, 一 is an article; in a date it is a number.
        text, start, end = match.string, match.start(), match.end()
        dated = text[end] == "月" or text[start - 1 : start] == "月"
        return str(_han_value(match["count"])) if match["count"] != "一" or dated else match[0]

    def english(match: re.Match[str]) -> str:
        alone = match["small"] == "one" and not _MULTIPLIED.match(match.string, match.end())
        return match[0] if alone else str(_english_value(match))

    return _ENGLISH.sub(english, _CHINESE.sub(chinese, _CLOCK.sub("", fold(text))))


def _date(match: re.Match[str]) -> Iterator[str]:
    yield f"{_month(match['month'])}-{_plain(match['day'])}"
    if match["year"]:
        yield _plain(match["year"])


def _month(name: str) -> int | str:
    return _plain(name) if name.isdecimal() else _MONTHS[name[:3]]


def _number(match: re.Match[str]) -> str:
    zeros = _ZEROS.get((match["times"] or "").strip(), 0)
    whole, part = match["whole"].replace(",", ""), (match["part"] or "").ljust(zeros, "0")
    return _plain(whole + part[:zeros], part[zeros:]) + ("%" if match["cent"] else "")


def _plain(whole: str, part: str = "") -> str:
    """Digits without idle zeros: by hand, since a hostile text may hold more of them than `int` reads."""
    kept = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{kept}" if kept else "")


def _english_value(match: re.Match[str]) -> int:
    return _SMALL[match["small"]] if match["small"] else _TENS[match["tens"]] + _UNITS[match["unit"]]


def _han_value(numeral: str) -> int:
    """
    >>> [_han_value(numeral) for numeral in ("七", "二十四", "两百零五", "三亿五千万", "一万亿", "二〇二六", "百")]
    [7, 24, 205, 350000000, 1000000000000, 2026, 100]
    """
    if not set(numeral) - set(_HAN_DIGITS):
        return int("".join(str(_HAN_DIGITS[c]) for c in numeral))
    total = section = digit = 0
    for c in numeral:
        if c in _HAN_DIGITS:
            digit = _HAN_DIGITS[c]
        elif c in _HAN_TENS:
            section, digit = section + (digit or 1) * _HAN_TENS[c], 0
        elif c == "万":
            total, section, digit = total + (section + digit or 1) * 10**4, 0, 0
        else:
            total, section, digit = (total + section + digit or 1) * 10**8, 0, 0
    return total + section + digit
