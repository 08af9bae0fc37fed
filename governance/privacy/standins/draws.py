"""Keyed choices and shapes: what every surrogate is made with.

A choice is a pure function of key, entity and value: no state, no clock, no seeded generator, so that shards,
processes and runs agree, and nobody without the key can repeat it.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

_WIDE = 0xFEE0  # from a narrow ASCII character to its full-width form
_WIDTHS = {code: code + _WIDE for code in range(0x21, 0x7F)}
_CAPITALS, _SMALL = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_INVISIBLE = ("Cf", "Cc")
_HAN = ("\u3400", "\u9fff")
_COMMON_HAN = "安白本长成春东方丰古光海和红华江金开兰乐林明南平青清秋山石水松天田文夏新星雪阳永玉云正中子"

Item = TypeVar("Item")


class Draws:
    """An endless row of keyed choices for one value.

    Args:
        key: subkey of surrogates, 32 bytes.
        seed: what the choices depend on; parts are told apart by their lengths.
    """

    __slots__ = ("_count", "_key", "_seed")

    def __init__(self, key: bytes, *seed: str) -> None:
        parts = [part.encode("utf-8", "surrogatepass") for part in seed]
        self._key = key
        self._seed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        self._count = 0

    def below(self, bound: int) -> int:
        """A whole number in [0, bound); uneven by less than bound / 2**128."""
        self._count += 1
        digest = hmac.digest(self._key, self._count.to_bytes(4, "big") + self._seed, "sha256")
        return int.from_bytes(digest[:16], "big") % bound

    def pick(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.below(len(items))]

    def digits(self, count: int) -> str:
        """As many digits as `count`, at most 30."""
        return str(self.below(10**count)).zfill(count) if count else ""

    def word(self, syllables: int) -> str:
        """A made-up word that can be read aloud; 95 syllables to choose from."""
        return "".join(self.pick("bcdfghjklmnprstvwxz") + self.pick("aeiou") for _ in range(syllables))


def compact(value: str) -> str | None:
    """A number's digits and capital letters, narrow; None: it holds letters of another script, so it is no number.

    >>> compact("4111-１１１１ x"), compact("京A")
    ('41111111X', None)
    """
    plain = [_plain(char) for char in value]
    letters = [char for char in plain if char.isalnum()]
    return "".join(letters).upper() if all(char.isascii() for char in letters) else None


def fill(value: str, new: str) -> str:
    """Put other digits and letters where a value has them: separators, case and width stay.

    Raises:
        ValueError: not as many as the value has.

    >>> fill("411 11１1x", "5930217A")
    '593 02１7a'
    """
    out, given = [], iter(new.lower() if value.islower() else new)
    slots = sum(_plain(char).isalnum() for char in value)
    if slots != len(new):
        raise ValueError(f"expected {slots} digits and letters, got {len(new)}")
    for char in value:
        plain = _plain(char)
        if plain.isalnum():
            out.append(_dressed(next(given), char, plain))
        elif plain:
            out.append(char)
    return "".join(out)


def reshape(value: str, draws: Draws) -> str:
    """Another value of the same shape: a digit for a digit, a letter of the same script and case for a letter."""
    out = []
    for place, char in enumerate(value):
        plain = _plain(char)
        if not plain.isascii():
            out.append(_other_letter(char, draws))
        elif plain.isdigit():
            # A number that doesn't start with 0 still doesn't.
            first = place == 0 and plain != "0"
            out.append(_dressed(str(1 + draws.below(9)) if first else draws.digits(1), char, plain))
        elif plain.isalpha():
            out.append(_dressed(draws.pick(_CAPITALS), char, plain))
        elif plain:
            out.append(char)
    return "".join(out)


def like_width(value: str, new: str) -> str:
    """`new` in full-width characters if all letters and digits of `value` are.

    >>> like_width("ａ＠ｂ．ｃｎ", "x@y.cn")
    'ｘ＠ｙ．ｃｎ'
    """
    wide = any(0xFF01 <= ord(char) <= 0xFF5E for char in value)
    return new.translate(_WIDTHS) if wide and not any(char.isascii() and char.isalnum() for char in value) else new


def _plain(char: str) -> str:
    """The narrow form of one character: a digit of any script as 0 to 9, an invisible one as nothing."""
    if char.isascii() and char.isprintable():
        return char
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if unicodedata.category(char) in _INVISIBLE:
        return ""
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 else char


def _dressed(new: str, char: str, plain: str) -> str:
    """`new` as `char` is written, whose narrow form is `plain`: its case, its width, its script's digits."""
    if plain.islower():
        new = new.lower()
    digit = unicodedata.decimal(char, None)
    if digit is not None and new.isdigit():
        return chr(ord(char) - digit + int(new))
    return new.translate(_WIDTHS) if 0xFF01 <= ord(char) <= 0xFF5E else new


def _other_letter(char: str, draws: Draws) -> str:
    if not char.isalpha():
        return char
    if _HAN[0] <= char <= _HAN[1]:
        return draws.pick(_COMMON_HAN)
    return draws.pick(_neighbours(ord(char) // 32, unicodedata.category(char)))


@cache
def _neighbours(block: int, category: str) -> str:
    """The letters of one kind in 32 code points: of the same script, whichever it is."""
    return "".join(char for code in range(32) if unicodedata.category(char := chr(32 * block + code)) == category)
