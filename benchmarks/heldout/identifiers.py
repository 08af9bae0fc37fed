"""Numbers people are known by, in their published formats and with valid check digits.

Every function takes the generator and returns one number as a person would write it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import string
from collections.abc import Sequence
from random import Random

# GB 32100-2015, table 3: the digits and letters of a credit code, without I, O, S, V and Z.
CREDIT_CODE_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
CREDIT_CODE_WEIGHTS = tuple(pow(3, power, 31) for power in range(17))
# GB 11714-1997, the organisation code inside a credit code.
ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
PLATE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
PROVINCES_ON_PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
US_AREAS = ("206 212 213 267 303 312 314 317 347 401 404 410 415 469 503 512 602 612 615 617 702 704 713 718 720 773 "
            "786 801 813 817 832 858 901 916 919 925 971")  # fmt: skip
CN_MOBILE = ("133 135 136 137 138 139 147 150 151 152 155 157 158 159 166 173 176 177 178 180 182 185 186 187 188 189 "
             "191 198 199")  # fmt: skip
CN_AREAS = "010 020 021 022 023 024 025 027 028 029 0755 0571 0512 0532 0411"
CN_AREAS_OF_SEVEN_DIGITS = "0316 0730 0838 0553"
EARLY = "ABCDEFGHJK"


def digits(rng: Random, count: int) -> str:
    """`count` random digits."""
    return "".join(rng.choices(string.digits, k=count))


def grouped(number: str, sizes: Sequence[int], separator: str) -> str:
    """The number in groups of these sizes; a rest longer than the sizes makes a last group."""
    groups, start = [], 0
    for size in sizes:
        groups.append(number[start : start + size])
        start += size
    groups.append(number[start:])
    return separator.join(group for group in groups if group)


def luhn_digit(body: str) -> str:
    """The digit that makes `body` plus itself pass the Luhn check."""
    total = 0
    for place, char in enumerate(reversed(body)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card(rng: Random, *, chinese: bool) -> str:
    """A payment card number of 13 to 19 digits, grouped or not."""
    unionpay = ("62", rng.choice((16, 17, 18, 19, 19, 19)))
    western = [
        ("4", 16), ("4", 16), ("4", 16), ("4", rng.choice((13, 16, 19))),
        (str(rng.randint(51, 55)), 16), (str(rng.randint(51, 55)), 16), (str(rng.randint(2221, 2720)), 16),
        (rng.choice(("34", "37")), 15), (rng.choice(("34", "37")), 15),
        (rng.choice(("5018", "5020", "5038", "6304", "6759", "6761", "6763")), rng.choice((13, 16, 16, 18, 19))),
    ]  # fmt: skip
    prefix, length = unionpay if rng.random() < (0.65 if chinese else 0.05) else rng.choice(western)
    body = prefix + digits(rng, length - 1 - len(prefix))
    number = body + luhn_digit(body)
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4, 4)
    return grouped(number, sizes, rng.choices((" ", "-", ""), (45, 12, 43))[0])


def _iban_body(rng: Random, country: str) -> str:
    if country == "FR":
        bank, branch, account = digits(rng, 5), digits(rng, 5), digits(rng, 11)
        key = 97 - (89 * int(bank) + 15 * int(branch) + 3 * int(account)) % 97
        return f"{bank}{branch}{account}{key:02d}"
    if country == "BE":
        stem = rng.choice(("001", "063", "210", "310", "363", "734", "979")) + digits(rng, 7)
        return f"{stem}{int(stem) % 97 or 97:02d}"
    letters = {"GB": ("BARC", "NWBK", "LOYD", "HBUK", "MIDL", "ABBY", "MONZ"), "IE": ("AIBK", "BOFI", "IPBS"),
               "NL": ("ABNA", "INGB", "RABO"), "RO": ("BTRL", "RNCB")}  # fmt: skip
    length = {"GB": 14, "IE": 14, "NL": 10, "RO": 16, "DE": 18, "AT": 16, "CH": 17, "LU": 16, "SE": 20, "AE": 19}
    return (rng.choice(letters[country]) if country in letters else "") + digits(rng, length[country])


def iban(rng: Random) -> str:
    """An IBAN of a country a shop has customers in, in groups of four or in one piece."""
    country = rng.choice(("GB", "GB", "GB", "DE", "DE", "IE", "NL", "FR", "BE", "RO", "AT", "CH", "LU", "SE", "AE"))
    body = _iban_body(rng, country)
    check = 98 - int("".join(str(int(char, 36)) for char in f"{body}{country}00")) % 97
    number = f"{country}{check:02d}{body}"
    return grouped(number, (4,) * 8, " ") if rng.random() < 0.55 else number


def ip_address(rng: Random) -> str:
    """An IP address a customer's device could have: three in four are version 4."""
    if rng.random() < 0.06:
        return f"192.168.{rng.randint(0, 31)}.{rng.randint(2, 254)}"
    if rng.random() < 0.7:
        first = rng.choice((24, 46, 58, 67, 73, 81, 86, 92, 98, 109, 112, 114, 121, 151, 174, 183, 203, 218))
        return f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    head = rng.choice(("2001", "2003", "2600", "2601", "2a00", "2a02", "2408", "2409", "240e"))
    body = [f"{rng.getrandbits(16):x}" for _ in range(7)]
    if rng.random() < 0.5:
        body[3:6] = ["0", "0", "0"]
    address = ipaddress.IPv6Address(":".join([head, *body]))
    return address.compressed if rng.random() < 0.8 else address.exploded


def social_security(rng: Random) -> str:
    """A US social security number that could have been issued."""
    area = rng.choice([number for number in range(1, 900) if number != 666])
    parts = f"{area:03d}", f"{rng.randint(1, 99):02d}", f"{rng.randint(1, 9999):04d}"
    return rng.choices(("-", " ", ""), (70, 15, 15))[0].join(parts)


def resident_id(rng: Random, counties: Sequence[str]) -> str:
    """An 18-digit resident identity number (GB 11643-1999)."""
    born = dt.date(1950, 1, 1) + dt.timedelta(days=rng.randrange(57 * 365))
    body = f"{rng.choice(counties)}{born:%Y%m%d}{rng.randint(1, 699):03d}"
    weights = (pow(2, 17 - place, 11) for place in range(17))
    rest = sum(int(char) * weight for char, weight in zip(body, weights, strict=True)) % 11
    check = "10X98765432"[rest]
    return body + (check.lower() if rng.random() < 0.4 else check)


def old_resident_id(rng: Random, counties: Sequence[str]) -> str:
    """A 15-digit resident identity number, as issued before October 1999; it has no check digit."""
    born = dt.date(1940, 1, 1) + dt.timedelta(days=rng.randrange(45 * 365))
    return f"{rng.choice(counties)}{born:%y%m%d}{rng.randint(1, 699):03d}"


def credit_code(rng: Random, counties: Sequence[str]) -> str:
    """A unified social credit code (GB 32100-2015) around a valid organisation code (GB 11714-1997)."""
    stem = rng.choice(("MA", "MA", "MB", "")) + digits(rng, 8)
    stem = stem[:8]
    rest = 11 - sum(int(char, 36) * weight for char, weight in zip(stem, ORGANISATION_WEIGHTS, strict=True)) % 11
    organisation = stem + {10: "X", 11: "0"}.get(rest, str(rest))
    body = rng.choice(("91", "91", "91", "91", "92", "92", "93", "52")) + rng.choice(counties) + organisation
    total = sum(CREDIT_CODE_ALPHABET.index(char) * w for char, w in zip(body, CREDIT_CODE_WEIGHTS, strict=True))
    return body + CREDIT_CODE_ALPHABET[-total % 31]


def licence_plate(rng: Random, *, green: bool) -> str:
    """A mainland licence plate: at least one in three is the longer, green one of new-energy vehicles (GA 36-2018)."""
    head = rng.choice(PROVINCES_ON_PLATES) + rng.choice(EARLY)
    if green or rng.random() < 0.33:
        tail = rng.choice("DF") + rng.choice(string.digits + PLATE_LETTERS) + digits(rng, 4)
        return f"{head}{tail}"
    places = list(digits(rng, 5))
    for place in rng.sample(range(5), rng.choice((0, 1, 1, 2))):
        places[place] = rng.choice(PLATE_LETTERS)
    return head + rng.choices(("", "·"), (75, 25))[0] + "".join(places)


def passport(rng: Random) -> str:
    """A Chinese passport number: E or G and eight digits, or E, a letter and seven digits."""
    return (
        rng.choice(("E", "E", "G")) + digits(rng, 8) if rng.random() < 0.6 else f"E{rng.choice(EARLY)}{digits(rng, 7)}"
    )


def travel_permit(rng: Random, kind: str) -> str:
    """A permit to cross between the mainland and Hong Kong or Macao (`hkmo`, `home`) or Taiwan (`tw`)."""
    if kind == "home":  # the home-return permit of Hong Kong and Macao residents
        return rng.choice("HM") + digits(rng, 8) + rng.choice(("", "0" + str(rng.randint(0, 3))))
    if kind == "tw":  # the permit of Taiwan residents
        return digits(rng, 8)
    return f"C{digits(rng, 8)}" if rng.random() < 0.6 else f"C{rng.choice('ABCDEFGH')}{digits(rng, 7)}"


def tracking_number(rng: Random, courier: str) -> str:
    """A waybill number of a Chinese courier, of any if none is named."""
    courier = courier or rng.choice(("sf", "sf", "yt", "jt", "jd", "zto", "sto", "yd", "ems", "dpk"))
    if courier == "ems":
        serial = digits(rng, 8)
        rest = 11 - sum(int(char) * weight for char, weight in zip(serial, (8, 6, 4, 2, 3, 5, 9, 7), strict=True)) % 11
        return f"E{rng.choice('ABCDEFGHJKLMNPQRSTUVWXYZ')}{serial}{({10: 0, 11: 5}).get(rest, rest)}CN"
    return {
        "sf": "SF" + rng.choice("13") + digits(rng, 12),
        "yt": "YT" + rng.choice("2468") + digits(rng, 12),
        "jt": "JT" + rng.choice("35") + digits(rng, 12),
        "jd": rng.choice(("JDVA", "JDVB", "JD00")) + digits(rng, 11),
        "zto": "7" + rng.choice("3568") + digits(rng, 12),
        "sto": "77" + digits(rng, 13),
        "yd": "4" + rng.choice("36") + digits(rng, 13),
        "dpk": "DPK" + digits(rng, 12),
    }[courier]


def us_phone(rng: Random) -> str:
    """A phone number of the United States, with or without the country code."""
    area = rng.choice(US_AREAS.split())
    exchange, line = f"{rng.randint(2, 9)}{rng.choice('02346789')}{rng.randint(0, 9)}", digits(rng, 4)
    form = rng.choice(("({}) {}-{}", "({}) {}-{}", "{}-{}-{}", "{}-{}-{}", "{}.{}.{}", "{} {} {}", "{}{}{}",
                       "+1 {} {} {}", "+1-{}-{}-{}", "1-{}-{}-{}"))  # fmt: skip
    return form.format(area, exchange, line)


def uk_phone(rng: Random) -> str:
    """A British phone number, mobile or of a town."""
    if rng.random() < 0.6:
        number = f"7{rng.choice('3456789')}{digits(rng, 8)}"
        return rng.choice(
            (f"0{number[:4]} {number[4:]}", f"0{number}", f"+44 {number[:4]} {number[4:]}",
             f"0{number[:4]} {number[4:7]} {number[7:]}", f"+44{number}", f"+44 (0){number[:4]} {number[4:]}")
        )  # fmt: skip
    line = rng.choice("2345678") + digits(rng, 5)
    area = rng.choice(("1223", "1273", "1332", "1392", "1452", "1522", "1603", "1752", "1865", "1904"))
    city = rng.choice((("20", "7"), ("20", "8"), ("161", ""), ("121", ""), ("113", ""), ("141", ""), ("131", "")))
    near = (
        f"0{city[0]} {city[1]}{rng.randint(2, 9)}{digits(rng, 3 - len(city[1]) - (city[0] != '20'))} {digits(rng, 4)}"
    )
    return rng.choice((f"0{area} {line}", f"+44 {area} {line}", near))


def foreign_phone(rng: Random) -> str:
    """A phone number with the country code of a neighbour."""
    return rng.choice((
        f"+353 8{rng.choice('3567')} {digits(rng, 3)} {digits(rng, 4)}",
        f"+33 6 {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.randint(10, 99)} {rng.randint(10, 99)}",
        f"+49 15{rng.choice('127')}{rng.randint(0, 9)} {rng.randint(1, 9)}{digits(rng, 6)}",
        f"+91 9{digits(rng, 4)} {digits(rng, 5)}",
        f"+234 80{rng.choice('235')} {digits(rng, 3)} {digits(rng, 4)}",
        f"+61 4{rng.randint(10, 49)} {digits(rng, 3)} {digits(rng, 3)}",
        f"+34 6{digits(rng, 2)} {digits(rng, 3)} {digits(rng, 3)}",
    ))  # fmt: skip


def hong_kong_phone(rng: Random) -> str:
    """A phone number of Hong Kong or Macao."""
    return (
        f"+852 {rng.choice('569')}{digits(rng, 3)} {digits(rng, 4)}"
        if rng.random() < 0.7
        else f"+853 6{digits(rng, 7)}"
    )


def cn_mobile(rng: Random) -> str:
    """A mainland mobile number, with or without +86, spaces or hyphens."""
    number = rng.choice(CN_MOBILE.split()) + digits(rng, 8)
    forms = ("{}{}{}", "{} {} {}", "{}-{}-{}", "+86 {}{}{}", "+86{}{}{}", "+86-{}{}{}", "+86 {} {} {}", "86{}{}{}")
    form = rng.choices(forms, (60, 10, 10, 6, 5, 3, 4, 2))[0]
    return form.format(number[:3], number[3:7], number[7:])


def cn_landline(rng: Random) -> str:
    """A mainland landline number with its area code, sometimes with an extension."""
    short = rng.random() < 0.3
    area = rng.choice((CN_AREAS_OF_SEVEN_DIGITS if short else CN_AREAS).split())
    line = rng.choice("2345678") + digits(rng, 6 if short else 7)
    number = rng.choices((f"{area}-{line}", f"({area}){line}", f"{area} {line}", f"{area}{line}"), (70, 10, 12, 8))[0]
    return number + (f"转{rng.randint(1, 899)}" if rng.random() < 0.06 else "")
