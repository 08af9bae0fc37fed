"""Files that hold texts of rows, encrypted at rest where a key is given.

The key is in the environment, or in a file that the environment names; never in a config. Without one, a file is
written as it is, for its owner alone. An encrypted file has `.enc` behind its name: a line in the clear that tells its
name, its key's identity and a random id, then pieces under a subkey of that id, each bound to its place. So a digest
over the bytes needs no key, a piece can't be moved, and a cut is found.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from governance.errors import ConfigError, RecordError
from governance.files import canonical, make_private, naming, write_atomic
from governance.keys import NONCE_BYTES, TAG_BYTES, Key, open_sealed, seal

VARIABLE = "STEELYARD_RECORD_KEY"
FILE_VARIABLE = "STEELYARD_RECORD_KEY_FILE"
SUFFIX = ".enc"
PURPOSE = "record"
PIECE = 1 << 24
"""Bytes sealed at once: AES-GCM's own limit is 2**31 in one message here."""
_MOST_HEADER = 4096


def record_key() -> Key | None:
    """The key that texts at rest are encrypted with; None: they aren't.

    Raises:
        ConfigError: both variables are set, or what they name is no key.
    """
    if os.environ.get(VARIABLE) and os.environ.get(FILE_VARIABLE):
        raise ConfigError(f"{VARIABLE}, {FILE_VARIABLE}: expected one of them, found both; unset one")
    if os.environ.get(FILE_VARIABLE):
        return Key.from_file(Path(os.environ[FILE_VARIABLE]))
    return Key.from_env(VARIABLE) if os.environ.get(VARIABLE) else None


def keep(path: Path, content: bytes | Callable[[Any], None]) -> Path:
    """Write a file that holds text, encrypted if there is a key.

    Args:
        path: of the file in the clear.
        content: bytes, or what writes them into a path or an open binary file.

    Returns:
        Where it is: `path`, or with `.enc` behind it.
    """
    key, hidden = record_key(), _hidden(path)
    if key is not None:
        write_atomic(hidden, _sealed(_made(content), path.name, key))
        path.unlink(missing_ok=True)  # an earlier attempt's, made without the key
        return hidden
    if isinstance(content, bytes):
        write_atomic(path, content)
    else:
        with naming(path):
            content(path)
        make_private(path)
    hidden.unlink(missing_ok=True)
    return path


def kept(path: Path) -> Path | None:
    """Where a file that `keep` wrote is; None: nowhere."""
    return next((found for found in (_hidden(path), path) if found.is_file()), None)


def plain(path: Path) -> Path | BinaryIO:
    """What a reader of such a file takes: its path, or its content in memory if it is encrypted.

    Args:
        path: without or with `.enc`.

    Raises:
        RecordError: the key is missing, or another's, or the file was changed.
        FileNotFoundError: there is no such file.
    """
    found = kept(path.with_name(path.name.removesuffix(SUFFIX)))
    return BytesIO(_opened(found)) if found is not None and found.name.endswith(SUFFIX) else found or path


def read(path: Path) -> bytes:
    """The content of such a file; raises as `plain`."""
    source = plain(path)
    return source.read_bytes() if isinstance(source, Path) else source.read()


def _hidden(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _made(content: bytes | Callable[[Any], None]) -> bytes:
    if isinstance(content, bytes):
        return content
    buffer = BytesIO()
    content(buffer)
    return buffer.getvalue()


def _sealed(content: bytes, name: str, key: Key) -> bytes:
    number = secrets.token_hex(16)
    told = {"steelyard": "encrypted", "version": 1, "name": name, "id": number, "key": key.identity(PURPOSE)}
    clear = canonical(told) + b"\n"
    subkey, whole = key.derive(PURPOSE, number), [clear]
    for start in range(0, max(1, len(content)), PIECE):
        last = start + PIECE >= len(content)
        context = _place(clear, start // PIECE, last=last)
        whole.append(seal(subkey, secrets.token_bytes(NONCE_BYTES), content[start : start + PIECE], context))
    return b"".join(whole)


def _opened(path: Path) -> bytes:
    with path.open("rb") as file:
        clear = file.readline(_MOST_HEADER)
        told = _header(clear, path)
        key = record_key()
        if key is None:
            raise RecordError(
                f"{path}: is encrypted; set {VARIABLE}, or {FILE_VARIABLE} to a file that holds the key whose identity "
                f"is {told['key']}"
            )
        if key.identity(PURPOSE) != told["key"]:
            raise RecordError(
                f"{path}: is encrypted under the key {told['key']}, found the key {key.identity(PURPOSE)}; set "
                f"{VARIABLE} or {FILE_VARIABLE} to the one that it was written with"
            )
        subkey, last = key.derive(PURPOSE, told["id"]), False
        pieces: list[bytes] = []
        piece = file.read(PIECE + NONCE_BYTES + TAG_BYTES)
        while not last:
            following = file.read(PIECE + NONCE_BYTES + TAG_BYTES)
            last = not following
            opened = open_sealed(subkey, piece, _place(clear, len(pieces), last=last))
            if opened is None or told["name"] + SUFFIX != path.name:
                raise RecordError(
                    f"{path}: changed, cut off or renamed since it was encrypted; put it back from a copy"
                )
            pieces.append(opened)
            piece = following
    return b"".join(pieces)


def _header(clear: bytes, path: Path) -> dict[str, str]:
    try:
        told = json.loads(clear)
        fits = all(isinstance(told[name], str) and told[name].isprintable() for name in ("name", "id", "key"))
        if told["version"] == 1 and fits:
            return dict(told)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise RecordError(f"{path}: not an encrypted file that this version wrote; put it back from a copy")


def _place(clear: bytes, number: int, *, last: bool) -> bytes:
    return clear + number.to_bytes(8, "big") + bytes([last])
