"""Stand-ins for what has an address on a network, from the ranges and names that are kept for documentation."""

from __future__ import annotations

import hashlib
import re

from governance.privacy.standins.canonical import narrow
from governance.privacy.standins.draws import Draws, reshape

_DOMAINS = ("example.com", "example.net", "example.org")
_IPV4_NETS = ("192.0.2", "198.51.100", "203.0.113")
_IPV4 = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}")
_LINK = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,15}://)?(?P<www>www\.)?[^/?#]*(?P<path>.*)", re.IGNORECASE | re.DOTALL
)
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_FACTORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def email(value: str, draws: Draws) -> str:
    """A made-up name at example.com, .net or .org, written as an e-mail address however the value is spelt.

    Source:
        RFC 2606, 3.
    """
    address = f"{draws.word(5)}@{draws.pick(_DOMAINS)}"
    return address.upper() if value.isupper() else address


def link(value: str, draws: Draws) -> str:
    """A host below example.com, with the value's scheme and www., and a path if it has one.

    Source:
        RFC 2606, 3.
    """
    found = _LINK.fullmatch(narrow(value))
    scheme, www, path = (found["scheme"] or "", found["www"] or "", found["path"]) if found else ("", "", "")
    host, page = f"{draws.word(4)}.example.com", draws.word(4)
    return f"{scheme}{www}{host}" + (f"/{page}" if path.strip("/") else path)


def ip_address(value: str, draws: Draws) -> str:
    """An IPv4 address of the three documentation networks (762 of them), or an IPv6 address in 2001:db8::/32.

    Source:
        RFC 5737, RFC 3849.
    """
    text = narrow(value)
    if _IPV4.fullmatch(text):
        return f"{draws.pick(_IPV4_NETS)}.{1 + draws.below(254)}"
    groups = [f"{1 + draws.below(0xFFFF):x}" for _ in range(6)]
    address = ":".join(["2001", "db8", *groups])
    return address.upper() if text.upper() == text else address


def wallet(value: str, draws: Draws) -> str:
    """A Bitcoin or Ethereum address that is valid and that nobody has the key to, or the value's shape."""
    text = narrow(value)
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        return f"0x{draws.below(2**120):030x}{draws.below(2**40):010x}"
    if re.fullmatch(r"(?i)bc1[qp][a-z0-9]{20,87}", text):
        address = _segwit(text.lower(), draws)
        return address.upper() if text.isupper() else address
    if re.fullmatch(rf"[13][{_BASE58}]{{25,34}}", text):
        return _base58(bytes([0 if text[0] == "1" else 5]), len(text), draws)
    return reshape(value, draws)


def _base58(version: bytes, length: int, draws: Draws) -> str:
    """A hash that hashes nothing, with its checksum; almost every length is met by a few tries, 33 and 34 always."""
    address = ""
    for _ in range(200):
        payload = version + draws.below(2**80).to_bytes(10, "big") + draws.below(2**80).to_bytes(10, "big")
        check = hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
        number, address = int.from_bytes(payload + check, "big"), ""
        while number:
            number, digit = divmod(number, 58)
            address = _BASE58[digit] + address
        address = ("1" if version == b"\0" else "") + address
        if len(address) == length:
            break
    return address


def _segwit(text: str, draws: Draws) -> str:
    """A witness program of the same version and length. Source: BIP 173, BIP 350."""
    version = _BECH32.index(text[3])
    data = [version, *(draws.below(32) for _ in range(len(text) - 10))]
    spare = 5 * (len(data) - 1) % 8  # bits that no byte takes, which must be zero
    data[-1] &= 0x1F << spare & 0x1F
    target = 1 if version == 0 else 0x2BC830A3
    sums = _polymod([3, 3, 0, 2, 3, *data, 0, 0, 0, 0, 0, 0]) ^ target  # "bc", expanded
    return "bc1" + "".join(_BECH32[value] for value in (*data, *(sums >> 5 * (5 - place) & 31 for place in range(6))))


def _polymod(values: list[int]) -> int:
    total = 1
    for value in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ value
        for place, factor in enumerate(_BECH32_FACTORS):
            total ^= factor if top >> place & 1 else 0
    return total
