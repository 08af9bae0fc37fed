"""A tenant's secret: read from outside the repository, never shown, and never used as it is.

Everything keyed uses a subkey that is bound to one purpose and one tenant, so that two tenants' stand-ins for one
value have nothing in common although an operator gave both the same key.
"""

from __future__ import annotations

import base64
import itertools
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NoReturn

from governance.errors import ConfigError, ScrubError

LEAST_BYTES = 32
"""Shortest key."""
NONCE_BYTES = 12
TAG_BYTES = 16

HOW_TO_MAKE = "make one: python -c 'import secrets; print(secrets.token_hex(32))'"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+")


class Key:
    """A secret of 32 bytes or more. Nothing prints, pickles or copies it: a worker process reads it itself.

    Args:
        secret: random bytes.
        source: where it comes from, for messages.

    Raises:
        ConfigError: it is too short, or can be guessed: repeated, counted up, or a phrase.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes, *, source: str = "key") -> None:
        if len(secret) < LEAST_BYTES:
            raise ConfigError(f"{source}: expected {LEAST_BYTES} random bytes, found {len(secret)}; {HOW_TO_MAKE}")
        if _guessable(secret):
            raise ConfigError(f"{source}: expected random bytes, found a pattern or a phrase; {HOW_TO_MAKE}")
        self._secret = bytes(secret)

    @classmethod
    def from_text(cls, text: str, *, source: str = "key") -> Key:
        """A key written in hex or base64 (either alphabet, padded or not).

        Raises:
            ConfigError: it is neither, or too weak; the message doesn't quote it.
        """
        compact = text.strip()
        if _HEX.fullmatch(compact):
            return cls(bytes.fromhex(compact), source=source)
        return cls(_from_base64(compact, source), source=source)

    @classmethod
    def from_env(cls, name: str) -> Key:
        """The key in an environment variable.

        Raises:
            ConfigError: it isn't set, or holds no usable key.
        """
        text = os.environ.get(name)
        if not text:
            raise ConfigError(f"environment variable {name}: expected a key, found nothing; {HOW_TO_MAKE}")
        return cls.from_text(text, source=f"environment variable {name}")

    @classmethod
    def from_file(cls, path: Path) -> Key:
        """The key in a file that only its owner can read.

        Raises:
            ConfigError: no such file, others can read it, or it holds no usable key.
        """
        source = f"key file {path}"
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(65536)
        except OSError as error:
            raise ConfigError(f"{source}: can't be read ({error.strerror}); {HOW_TO_MAKE}") from None
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"{source}: others than its owner can read it; run: chmod 600 {path}")
        return cls.from_text(content.decode("ascii", "replace"), source=source)

    def derive(self, purpose: str, tenant: str) -> bytes:
        """A subkey of 32 bytes for one purpose and tenant, by HKDF-SHA256; no subkey tells anything about another.

        Source:
            RFC 5869.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = b"steelyard 1" + b"".join(_framed(part) for part in (purpose, tenant))
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secret)

    def identity(self, tenant: str) -> str:
        """16 hex digits that tell keys apart and may stand in a record: a one-way image of the key."""
        return self.derive("identity", tenant)[:8].hex()

    def encrypt(self, plaintext: bytes, *, purpose: str, tenant: str, context: bytes) -> bytes:
        """Seal bytes by AES-256-GCM under a random nonce; `context` must be given again to open them.

        Safe for 2**32 messages per purpose and tenant (NIST SP 800-38D, 8.3).
        """
        nonce = secrets.token_bytes(NONCE_BYTES)
        return seal(self.derive(purpose, tenant), nonce, plaintext, context)

    def decrypt(self, sealed: bytes, *, purpose: str, tenant: str, context: bytes) -> bytes:
        """What `encrypt` sealed for the same purpose, tenant and context.

        Raises:
            ScrubError: another key, purpose, tenant or context, or the bytes were altered.
        """
        opened = open_sealed(self.derive(purpose, tenant), sealed, context)
        if opened is None:
            raise ScrubError(
                f"sealed {purpose} data: expected bytes sealed under this key (identity {self.identity(tenant)}) for "
                "this tenant and context, found another's or altered ones; use the key that it was written with"
            )
        return opened

    def __repr__(self) -> str:
        return "Key(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled or copied; read it again with Key.from_env or Key.from_file")


def seal(subkey: bytes, nonce: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Nonce, AES-256-GCM ciphertext and tag: 28 bytes longer than the plaintext.

    A nonce must never meet a second plaintext under one subkey: that would give both away, and the key's integrity.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return nonce + AESGCM(subkey).encrypt(nonce, plaintext, context)


def open_sealed(subkey: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """The plaintext of `seal`; None: not sealed under this subkey and context, or altered."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        return None
    try:
        return AESGCM(subkey).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except InvalidTag:
        return None


def _framed(part: str) -> bytes:
    # With lengths, so that ("ab", "c") and ("a", "bc") are two subkeys.
    data = part.encode()
    return len(data).to_bytes(4, "big") + data


def _from_base64(text: str, source: str) -> bytes:
    body = text.replace("-", "+").replace("_", "/").rstrip("=")
    # A phrase typed in lower case can be valid base64; 32 random bytes without a capital are one in 10**9.
    phrase = text.islower() or text.isupper()
    if phrase or not _BASE64.fullmatch(body) or len(body) % 4 == 1:
        raise ConfigError(f"{source}: expected random bytes in hex or base64, found something else; {HOW_TO_MAKE}")
    return base64.b64decode(body + "=" * (-len(body) % 4))


def _guessable(secret: bytes) -> bool:
    """Whether bytes are plainly not random. Random ones fail this less than once in 10**12."""
    printable = all(32 <= byte < 127 for byte in secret)
    few = len(set(secret)) < 16
    periodic = any(secret[period:] == secret[:-period] for period in range(1, len(secret) // 2 + 1))
    steps = {(after - before) % 256 for before, after in itertools.pairwise(secret)}
    return printable or few or periodic or len(steps) == 1
