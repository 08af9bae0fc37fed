"""Ed25519 keys: the one that signs comes from a file or the environment, never from a config.

Keys and their ids are securesystemslib's (that of TUF and in-toto), so that their tools know ours.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from governance.errors import ConfigError

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

SIGNING, PASSWORD, CHECKING = "STEELYARD_SIGNING_KEY", "STEELYARD_SIGNING_PASSWORD", "STEELYARD_VERIFY_KEY"
MAX_BYTES = 65_536  # of a key file
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)
HOW_TO_MAKE = "make a pair with `steelyard keygen FILE`"


class SigningKey:
    """A private key. Nothing prints, pickles or copies it.

    Args:
        signer: securesystemslib's, of an Ed25519 key.
    """

    __slots__ = ("signer",)

    def __init__(self, signer: CryptoSigner) -> None:
        self.signer = signer

    @property
    def public(self) -> SSlibKey:
        """The half that checks what this one signs."""
        return self.signer.public_key

    def __repr__(self) -> str:
        return f"SigningKey({self.public.keyid})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key is not copied or sent to another process")


def signing_key(file: Path | None = None) -> SigningKey | None:
    """The key in a file, or else the one that the environment names; None: there is neither.

    Args:
        file: PKCS8 PEM that only its owner can read. Absent: `STEELYARD_SIGNING_KEY` holds its path, or the PEM itself.

    Raises:
        ConfigError: no such file, others can read it, or it holds no usable key. No message quotes it.
    """
    if file is not None:
        return _private(_read(file, f"key file {file}", secret=True), f"key file {file}")
    value = os.environ.get(SIGNING)
    if not value:
        return None
    source = f"environment variable {SIGNING}"
    if "-----BEGIN" in value:
        return _private(value, source)
    # What it holds is not quoted: it may be a key without its PEM lines.
    if len(value) > 4096 or not os.path.isfile(value):  # noqa: PTH113 - Path.is_file raises on a name with a NUL
        raise ConfigError(f"{source}: expected the path of a key file, or a PEM; found neither; {HOW_TO_MAKE}")
    return _private(_read(Path(value), source, secret=True), source)


def checking_keys(sources: Sequence[str] = ()) -> list[SSlibKey]:
    """Public keys, by id once each.

    Args:
        sources: paths of PEM files, each with one key or more, or PEMs. None given: `STEELYARD_VERIFY_KEY` is one,
            and without it there are no keys.

    Raises:
        ConfigError: one can't be read or is no Ed25519 public key.
    """
    from_environment = os.environ.get(CHECKING)
    found: dict[str, SSlibKey] = {}
    for source in sources or ([from_environment] if from_environment else []):
        named = f"key file {source}" if sources else f"environment variable {CHECKING}"
        text = source if "-----BEGIN" in source else _read(Path(source), named, secret=False)
        for key in _public(text, named if "-----BEGIN" not in source else "key"):
            found[key.keyid] = key
    return list(found.values())


def make_keys(path: Path) -> str:
    """Make a pair: `path`, its owner's alone, encrypted if `STEELYARD_SIGNING_PASSWORD` is set; and `path`.pub.

    Returns:
        The key's id.

    Raises:
        ConfigError: one of the files is there already, or can't be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )
    from securesystemslib.signer import SSlibKey

    public = path.with_name(path.name + ".pub")
    for file in (path, public):
        if os.path.lexists(file):
            raise ConfigError(f"{file}: is there already, and a lost key can't be made again; name another file")
    password = os.environ.get(PASSWORD)
    made = Ed25519PrivateKey.generate()
    locked = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_new(path, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked), 0o600)
        _write_new(public, made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    except OSError as error:
        raise ConfigError(f"{path}: the key can't be written ({error.strerror})") from None
    return SSlibKey.from_crypto(made.public_key()).keyid


def _write_new(path: Path, data: bytes, mode: int) -> None:
    # O_EXCL: two at once, or a link that somebody put there, must not overwrite a key.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, source: str, *, secret: bool) -> str:
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise ConfigError(f"{source}: can't be read ({why}); {HOW_TO_MAKE}") from None
    if secret and os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{source}: others than its owner can read it; run: chmod 600 {path}")
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{source}: expected a PEM, found a file of more than {MAX_BYTES} bytes")
    return content.decode("ascii", "replace")


def _private(pem: str, source: str) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    if "BEGIN PUBLIC KEY" in pem:
        raise ConfigError(f"{source}: expected a private key, found a public one; the private one has no .pub")
    locked = "BEGIN ENCRYPTED" in pem
    password = os.environ.get(PASSWORD) if locked else None
    if locked and not password:
        raise ConfigError(f"{source}: the key is encrypted; set {PASSWORD}")
    try:
        key = load_pem_private_key(pem.encode(), password.encode() if password else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        wrong = f"the password in {PASSWORD} doesn't open it" if locked else f"expected a PKCS8 PEM; {HOW_TO_MAKE}"
        raise ConfigError(f"{source}: {wrong}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{source}: expected an Ed25519 key, found another kind; {HOW_TO_MAKE}")
    return SigningKey(CryptoSigner(key))


def _public(text: str, source: str) -> list[SSlibKey]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    if "PRIVATE KEY" in text:
        raise ConfigError(f"{source}: this is a private key; who verifies needs the public one: FILE.pub")
    found = []
    for block in _PEM.finditer(text):
        try:
            key = load_pem_public_key(block[0].encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ConfigError(f"{source}: not a public key in PEM") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"{source}: expected an Ed25519 key, found another kind")
        found.append(SSlibKey.from_crypto(key))
    if not found:
        raise ConfigError(f"{source}: expected a public key in PEM (BEGIN PUBLIC KEY), found none")
    return found
