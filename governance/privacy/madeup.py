"""Made-up values in the formats of real ones, for what Faker has no maker of: check digits hold, and nobody is meant.

The check digits are worked out here and not with `checks`, so that a planted value is a test of the check too.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

DIGITS = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_COMPANY = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100-2015: no I, O, S, V, Z
_PLATE = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # GA 36-2018: no I and no O
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_COMPOUND = ("欧阳", "上官", "司马", "诸葛", "皇甫", "慕容", "令狐", "夏侯", "尉迟", "司徒")
_PLACES = (
    ("浙江省", "杭州市", "余杭区"),
    ("广东省", "深圳市", "南山区"),
    ("江苏省", "苏州市", "吴中区"),
    ("四川省", "成都市", "武侯区"),
    ("湖北省", "武汉市", "洪山区"),
    ("陕西省", "西安市", "雁塔区"),
    ("山东省", "青岛市", "市南区"),
    ("河南省", "郑州市", "金水区"),
    ("", "北京市", "朝阳区"),
    ("", "上海市", "闵行区"),
    ("", "重庆市", "渝北区"),
    ("福建省", "泉州市", "晋江市"),
)
_ROADS = ("建设路", "人民中路", "文昌街", "东风大道", "清河南路", "学院路", "望江西路", "和平巷", "双桥路", "银杏大街")
_ESTATES = ("锦绣花园", "阳光小区", "翠湖苑", "幸福里", "金色家园", "兰亭雅居", "明珠公寓", "枫林花苑")


class MadeUp:
    """Makes values; draws all its randomness from the generator that it is given."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def text(self, alphabet: Sequence[str], length: int) -> str:
        """Characters drawn from an alphabet."""
        return "".join(self._draw.choices(alphabet, k=length))

    def insurance_number(self) -> str:
        """A UK national insurance number, in prefixes that are issued."""
        while True:
            prefix = self._draw.choice("ABCEGHJKLMNOPRSTWXYZ") + self._draw.choice("ABCEGHJKLMNPRSTWXYZ")
            if prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
                break
        parts = [prefix, *(self.text(DIGITS, 2) for _ in range(3)), self._draw.choice("ABCD")]
        return self._draw.choice(["", " "]).join(parts)

    def wallet(self) -> str:
        """A wallet: Bitcoin (Base58Check or Bech32), Ethereum or Tron."""
        makers = [self._base58, self._bech32, lambda: "0x" + self.text("0123456789abcdef", 40), self._tron]
        return self._draw.choice(makers)()

    def _base58(self) -> str:
        return _base58check(self._draw.choice([b"\x00", b"\x05"]) + self._draw.randbytes(20))

    def _tron(self) -> str:
        return _base58check(b"\x41" + self._draw.randbytes(20))

    def _bech32(self) -> str:
        # A program of 160 bits is 32 groups of five: no padding.
        data = [0, *(self._draw.randrange(32) for _ in range(32))]
        return "bc1" + "".join(_BECH32[group] for group in [*data, *_bech32_checksum("bc", data)])

    def company_id(self) -> str:
        """A unified social credit code; the organisation's own check digit holds too."""
        body = self.text(DIGITS + "ABCDEFGH", 8)
        values = [int(char, 36) for char in body]
        own = -sum(value * weight for value, weight in zip(values, (3, 7, 9, 10, 5, 8, 4, 2), strict=True)) % 11
        area = self._draw.choice(["110105", "310112", "330110", "440305", "510107", "420111"])
        code = self._draw.choice(["91", "92", "93"]) + area + body + (DIGITS + "X")[own]
        total = sum(_COMPANY.index(char) * pow(3, place, 31) for place, char in enumerate(code))
        return code + _COMPANY[-total % 31]

    def chinese_passport(self) -> str:
        """A Chinese passport number: E and eight digits, newer ones with a second letter, older ones with G."""
        if self._draw.random() < 0.3:
            return "E" + self._draw.choice(_PLATE) + self.text(DIGITS, 7)
        return self._draw.choice("EEEG") + self.text(DIGITS, 8)

    def travel_permit(self, kind: str) -> str:
        """A permit: `mainland` (H or M, for people of Hong Kong and Macao), `taiwan` (eight digits), else outbound."""
        if kind == "mainland":
            return self._draw.choice("HM") + self.text(DIGITS, 8)
        if kind == "taiwan":
            return self.text(DIGITS, 8)
        return "C" + (
            self._draw.choice(_PLATE) + self.text(DIGITS, 7) if self._draw.random() < 0.5 else self.text(DIGITS, 8)
        )

    def plate(self) -> str:
        """A vehicle plate: five characters, or six for new energy, with or without the dot."""
        head = self._draw.choice(_PROVINCES) + self._draw.choice(_PLATE) + self._draw.choice(["", "", "·"])
        if self._draw.random() < 0.4:
            kind = self._draw.choice("DF")
            small = kind + self._draw.choice(_PLATE + DIGITS) + self.text(DIGITS, 4)
            return head + self._draw.choice([small, self.text(DIGITS, 5) + kind])
        tail = [*self.text(DIGITS, self._draw.randrange(3, 6))]
        while len(tail) < 5:
            tail.insert(self._draw.randrange(len(tail) + 1), self._draw.choice(_PLATE))
        return head + "".join(tail)

    def tracking_number(self) -> str:
        """A Chinese courier's tracking number."""
        carriers = [("SF", 13), ("YT", 13), ("JD", 13), ("JT", 13), ("78", 12), ("43", 11), ("9", 12), ("EMS", 9)]
        head, length = self._draw.choice(carriers)
        number = self.text(DIGITS, length)
        return f"E{self._draw.choice('ABMSTX')}{number}CN" if head == "EMS" else head + number

    def wechat_id(self) -> str:
        """A WeChat ID as people set them, or as the app gives them."""
        tail = self.text(LETTERS + DIGITS + "_-", self._draw.randrange(6, 13))
        return self._draw.choice(["wxid_", self._draw.choice(LETTERS)]) + tail

    def alipay_user(self) -> str:
        """An Alipay user number, which starts with 2088."""
        return "2088" + self.text(DIGITS, 12)

    def landline(self) -> str:
        """A Chinese landline with its area code."""
        area = self._draw.choice(["010", "021", "0755", "0571", "028", "0531"])
        local = self._draw.choice("2345678") + self.text(DIGITS, 7)
        return self._draw.choice([f"{area}-{local}", f"({area}){local}", area + local])

    def compound_surname(self) -> str:
        """A Chinese surname of two characters."""
        return self._draw.choice(_COMPOUND)

    def chinese_address(self) -> str:
        """An address as people write it to a courier: from the province or the district down to the room."""
        draw = self._draw
        province, city, district = draw.choice(_PLACES)
        start = draw.choice([province + city + district, city + district, district])
        road = f"{draw.choice(_ROADS)}{draw.randrange(1, 999)}{draw.choice(['号', '弄'])}"
        building, unit, room = (
            draw.randrange(1, 40),
            draw.randrange(1, 5),
            draw.randrange(1, 30) * 100 + draw.randrange(1, 9),
        )
        inside = draw.choice(
            [
                f"{draw.choice(_ESTATES)}{building}栋{unit}单元{room}室",
                f"{draw.choice(_ESTATES)}{building}号楼{room}",
                f"{building}幢{room}室",
                f"{draw.choice('ABC')}座{room}",
            ]
        )
        return start + road + inside


def _base58check(payload: bytes) -> str:
    """Payload and the first four bytes of its double SHA-256, in base 58."""
    whole = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, text = int.from_bytes(whole), ""
    while number:
        number, place = divmod(number, 58)
        text = _BASE58[place] + text
    return "1" * (len(whole) - len(whole.lstrip(b"\0"))) + text


def _bech32_checksum(prefix: str, data: Sequence[int]) -> list[int]:
    """Six groups of five bits.

    Source:
        BIP 173.
    """
    expanded = [*(ord(char) >> 5 for char in prefix), 0, *(ord(char) & 31 for char in prefix), *data, *[0] * 6]
    check = 1
    for value in expanded:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> place & 1 else 0
    check ^= 1
    return [check >> 5 * (5 - place) & 31 for place in range(6)]
