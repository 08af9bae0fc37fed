"""What becomes of a find: a label, nothing, a few of its letters, or a stand-in that the tenant's key makes.

Every operator is a function of one text, and but for numbers of one value: no table is shared between texts, so shards
and processes agree without talking. What that costs: `hash`, `encrypt` and `surrogate` show which records hold an
equal value, to everyone; only their key's holder learns or restores the value.
"""

from __future__ import annotations

import hmac
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from governance.errors import ConfigError, ScrubError
from governance.keys import NONCE_BYTES, TAG_BYTES, Key, open_sealed, seal
from governance.privacy.entities import ENTITIES
from governance.privacy.overlaps import PLACEHOLDER
from governance.privacy.policy import Action
from governance.privacy.standins.canonical import canonical
from governance.privacy.standins.masks import mask
from governance.privacy.standins.surrogates import surrogate
from governance.registry import nearest

ACTIONS = tuple(action for action in typing.get_args(Action) if action != "keep")
"""What an operator can do; a find that is kept never reaches one."""

LONGEST = 2000 - NONCE_BYTES - TAG_BYTES
"""Bytes of a value in one token; a longer value becomes several tokens in a row."""

_HEX, _LETTERS = "0123456789abcdef", "abcdefghijklmnop"
_TO_LETTERS, _TO_HEX = str.maketrans(_HEX, _LETTERS), str.maketrans(_LETTERS, _HEX)


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of personal data and what becomes of it. Its `repr` doesn't show the value.

    Raises:
        ConfigError: no such entity or action, or `keep`.
    """

    entity: str
    value: str
    action: Action

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ConfigError(
                f"scrub policy: {self.entity}: no operator '{self.action}'. {nearest(self.action, ACTIONS)}"
            )
        if self.entity not in ENTITIES:
            raise ConfigError(f"scrub policy: no entity '{self.entity}'. {nearest(self.entity, ENTITIES)}")

    def __repr__(self) -> str:
        return f"Piece({self.entity}, {self.action})"


class Operators:
    """Makes stand-ins for one tenant. Pure and safe to share between threads; never pickled, since keys aren't.

    Args:
        key: the operator's secret; None where no action needs one.
        tenant: whose data it is; two tenants' stand-ins have nothing in common.
    """

    def __init__(self, key: Key | None, tenant: str) -> None:
        purposes = ("hash", "encrypt", "nonce", "surrogate")
        self._subkeys = None if key is None else {purpose: key.derive(purpose, tenant) for purpose in purposes}
        self._identity = None if key is None else key.identity(tenant)

    def stand_ins(self, pieces: Sequence[Piece]) -> list[str]:
        """What takes the place of each piece of one text, in order.

        `number` counts the values of an entity in the order in which they first appear in this text.

        Raises:
            ScrubError: an action needs a key and there is none.
        """
        numbers: dict[str, dict[str, int]] = {}
        return [
            self._numbered(piece, numbers) if piece.action == "number" else self._stand_in(piece) for piece in pieces
        ]

    def decrypt_all(self, text: str) -> str:
        """The text with the value back in place of every `[ENTITY~…]` token; all else stays.

        Raises:
            ScrubError: there is no key, or a token isn't this key's and tenant's for that entity, or was altered
                (named by its position). A token that somebody typed is such a token.
        """
        return PLACEHOLDER.sub(lambda match: self._opened(match) if "~" in match[0] else match[0], text)

    def _stand_in(self, piece: Piece) -> str:
        entity, value = piece.entity, piece.value
        if piece.action == "mask":
            return mask(entity, value)
        if piece.action == "hash":
            image = hmac.digest(self._subkey("hash"), _message(entity, canonical(entity, value)), "sha256")
            return f"[{entity}#{_spelt(image[:8])}]"
        if piece.action == "encrypt":
            return self._encrypted(entity, value)
        if piece.action == "surrogate":
            return surrogate(entity, value, self._subkey("surrogate"))
        return "" if piece.action == "redact" else f"[{entity}]"

    @staticmethod
    def _numbered(piece: Piece, numbers: dict[str, dict[str, int]]) -> str:
        seen = numbers.setdefault(piece.entity, {})
        same = canonical(piece.entity, piece.value)
        return f"[{piece.entity}_{seen.setdefault(same, len(seen) + 1)}]"

    def _encrypted(self, entity: str, value: str) -> str:
        """Deterministic AES-256-GCM: the nonce is a keyed image of entity and value (the SIV construction, RFC 5297).

        GCM breaks when a nonce meets two plaintexts. Here a nonce comes back with the same plaintext, which yields the
        same token, and with another only if 96 bits of HMAC-SHA256 collide: for 2**32 values, a chance of 2**-33.
        A token shows the length of its value, and equal tokens that two values are equal; nothing else.
        """
        return "".join(f"[{entity}~{_spelt(self._sealed(entity, part))}]" for part in _parts(value))

    def _sealed(self, entity: str, data: bytes) -> bytes:
        cipher = self._subkey("encrypt")
        image = hmac.digest(self._subkey("nonce"), entity.encode() + b"\0" + data, "sha256")
        return seal(cipher, image[:NONCE_BYTES], data, entity.encode())

    def _opened(self, match: re.Match[str]) -> str:
        entity, _, letters = match[0].strip("[]").partition("~")
        opened = None
        if len(letters) % 2 == 0:
            sealed = bytes.fromhex(letters.translate(_TO_HEX))
            opened = open_sealed(self._subkey("encrypt"), sealed, entity.encode())
        if opened is None:
            raise ScrubError(
                f"character {match.start()}: expected a {entity} token of this key and tenant "
                f"(identity {self._identity}), found another's or an altered one; use the key that it was made with"
            )
        # Raised outside of `except`: the codec's exception holds the value, also where it is only a context.
        try:
            return opened.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            pass
        raise ScrubError(
            f"character {match.start()}: expected a {entity} token of a text in UTF-8, found one of other bytes; "
            "encrypt the value again"
        )

    def _subkey(self, purpose: str) -> bytes:
        if self._subkeys is None:
            raise ScrubError(f"'{purpose}' needs a key, found none; set the variable that the policy's key_env names")
        return self._subkeys[purpose]


def _parts(value: str) -> Iterator[bytes]:
    """A value in at most `LONGEST` bytes at a time, none cut within a character."""
    data = value.encode("utf-8", "surrogatepass")
    start = 0
    while start < len(data):
        end = start + LONGEST
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        yield data[start:end]
        start = end


def _message(entity: str, value: str) -> bytes:
    # No entity holds a zero byte, so that no two pairs are one message.
    return f"{entity}\0{value}".encode("utf-8", "surrogatepass")


def _spelt(data: bytes) -> str:
    """Bytes as letters a to p: a stand-in that holds no digit is taken for no number."""
    return data.hex().translate(_TO_LETTERS)
