"""Digests, canonical JSON, writes that a crash can't tear, and files that are their owner's alone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path


def canonical(value: object) -> bytes:
    """JSON with sorted keys and no spaces; refuses NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def digest_of(value: object) -> str:
    """SHA-256 of a JSON value, as hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as `sha256:<hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256:<hex>`."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def private_folder(path: Path) -> Path:
    """Make a folder, and those above it that are missing, for its owner alone, whatever the umask.

    One that is there keeps its mode: whoever has opened it to others meant it.
    """
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def make_private(path: Path) -> None:
    """Take what group and others may do with a file or folder away from them."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        path.chmod(mode & 0o700)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Make an error of the operating system say which file it is about: a full disk's doesn't."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file, its owner's alone, so that a reader sees all of it or none of it, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)  # as the umask says: a team's folder stays one
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with naming(path):
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
