"""A run's folder as it lies on the disk: every file's digest, and whatever has no place in evidence.

Nothing that a file says is followed: names come from the folder alone, and links are not walked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from governance.errors import RecordError
from governance.evidence.envelope import MAX_BYTES

Kind: TypeAlias = Literal["changed", "added", "removed", "renamed", "swapped", "signature"]
LATEST, OUT = "latest", "out"
ENVELOPE = ".dsse.json"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it was attested.

    Attributes:
        kind: what happened to it.
        path: from the run's folder, fit to be printed.
        detail: how that is known.
    """

    kind: Kind
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Folder:
    """What a scan saw.

    Attributes:
        files: path from the folder, with "/" -> SHA-256, as hex.
        envelopes: those among them that look like envelopes, with their content.
        findings: links, empty folders, devices.
    """

    files: Mapping[str, str]
    envelopes: Mapping[str, bytes]
    findings: tuple[Finding, ...]


def scan(directory: Path) -> Folder:
    """Digest every file.

    Raises:
        RecordError: there is no such folder, or a file can't be read.
    """
    if not directory.is_dir():
        raise RecordError(f"{directory}: no such run directory (runs/<audit>/<id>)")
    files: dict[str, str] = {}
    envelopes: dict[str, bytes] = {}
    findings: list[Finding] = []
    folders = [""]
    while folders:
        inside = folders.pop()
        entries = _entries(directory / inside)
        if not entries and inside:
            findings.append(Finding("added", shown(inside), "an empty folder"))
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_symlink():
                wrong = _wrong_link(directory, path)
                findings += [Finding("added", shown(path), wrong)] if wrong else []
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                files[path], content = _digest(directory / path)
                if content is not None:
                    envelopes[path] = content
            else:
                findings.append(Finding("added", shown(path), "neither a file nor a folder"))
    return Folder(files, envelopes, tuple(findings))


def shown(path: str) -> str:
    """A file's name as it may be printed: no control characters, no bytes that aren't text.

    >>> shown("predictions/模型.parquet"), shown("a" + chr(27) + "[2J")
    ('predictions/模型.parquet', 'a\\\\x1b[2J')
    """
    return path if path.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise RecordError(f"{shown(str(folder))}: can't be read ({error.strerror})") from None


def _digest(path: Path) -> tuple[str, bytes | None]:
    """A file's digest, and its content if it is an envelope, from one reading."""
    try:
        with path.open("rb") as file:
            if not path.name.endswith(ENVELOPE):
                return hashlib.file_digest(file, "sha256").hexdigest(), None
            content = file.read(MAX_BYTES + 1)
            return hashlib.sha256(content).hexdigest(), content
    except OSError as error:
        raise RecordError(f"{shown(str(path))}: can't be read ({error.strerror})") from None


def _wrong_link(directory: Path, path: str) -> str | None:
    """Why a link has no place here. The only one that has is `latest`, to a judgement in `out/`."""
    if path != LATEST:
        return "a link; evidence holds none but `latest`"
    target = (directory / path).readlink()
    if target.is_absolute() or len(target.parts) != 2 or target.parts[0] != OUT or target.parts[1] == "..":
        return "points somewhere else than to a folder in out/"
    inside = directory / target
    if inside.is_symlink() or not inside.is_dir():
        return "points to a judgement that is not there"
    return None
