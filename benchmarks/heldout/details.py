"""Details of shop texts that are nobody's: order numbers, prices, barcodes, dates."""

from __future__ import annotations

import datetime as dt
from random import Random

from .identifiers import digits

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
VARIANTS = ("BLK", "NVY", "S", "M", "XL", "42")


def _order(rng: Random, language: str) -> str:
    if language == "zh":
        dated = f"2026{rng.randint(1, 12):02d}{rng.randint(1, 28):02d}{digits(rng, 8)}"
        return rng.choice((dated, f"DD{digits(rng, 10)}", f"{rng.randint(10, 29)}{digits(rng, 17)}"))
    return rng.choice((f"#{rng.randint(1000, 99999)}", f"W{digits(rng, 9)}", f"SO-{digits(rng, 4)}-{digits(rng, 4)}",
                       f"11{rng.randint(1, 4)}-{digits(rng, 7)}-{digits(rng, 7)}", f"GB{digits(rng, 7)}"))  # fmt: skip


def _barcode(rng: Random) -> str:
    body = rng.choice(("50", "400", "690", "697", "871", "84")) + digits(rng, 10)
    body = body[:12]
    total = sum(int(char) * (3 if place % 2 else 1) for place, char in enumerate(body))
    return body + str(-total % 10)


def _date(rng: Random, language: str) -> str:
    day = dt.date(2026, 1, 1) + dt.timedelta(days=rng.randrange(365))
    if language == "zh":
        return rng.choice((f"{day.month}月{day.day}日", f"2026年{day.month}月{day.day}日", f"{day:%Y-%m-%d}"))
    month = MONTHS[day.month - 1]
    return rng.choice(
        (f"{day.day} {month}", f"{month} {day.day}", f"{day:%m/%d/%Y}", f"{day:%Y-%m-%d}", f"{month[:3]} {day.day}")
    )


def detail(rng: Random, language: str, name: str, currency: str) -> str:
    """One detail.

    Args:
        rng: where chance comes from.
        language: `en` or `zh`; decides the formats.
        name: order, sku, ean, batch, amount, small (a small amount), date, time, n, hotline or version.
        currency: the sign in front of an English amount.

    Raises:
        KeyError: no detail has this name.
    """
    cents = rng.choice(("00", "50", "99", "95"))
    price = "{}元" if language == "zh" else f"{currency}{{}}"
    tail = f"{rng.randint(2, 9)}{digits(rng, 2)}-{digits(rng, 4)}"
    details = {
        "order": _order(rng, language),
        "sku": "-".join(("".join(rng.choices("ABCDEFGHKLMNPRSTVW", k=3)), digits(rng, 4), rng.choice(VARIANTS))),
        "ean": _barcode(rng),
        "batch": f"{rng.choice('LBK')}{rng.randint(24, 26)}{digits(rng, 4)}{rng.choice('ABC')}",
        "amount": price.format(f"{rng.randint(41, 890)}.{cents}"),
        "small": price.format(f"{rng.randint(5, 39)}.{cents}"),
        "date": _date(rng, language),
        "time": f"{rng.randint(8, 21)}:{rng.choice(('00', '15', '30', '45', '07', '52'))}",
        "n": str(rng.randint(2, 30)),
        "hotline": f"400-{tail}" if language == "zh" else rng.choice(("0800 ", "1-800-")) + tail,
        "version": f"{rng.randint(1, 17)}.{rng.randint(0, 12)}.{rng.randint(0, 30)}",
    }  # fmt: skip
    return details[name]
