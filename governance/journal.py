"""An append-only, hash-chained log: what was spent or decided can't be unsaid.

Each line holds the digest of the line before it, so an edit or a cut in the middle is found.
A line is on the disk before the act that it announces happens (write-ahead), so after a kill
the journal never shows less than what was done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from io import FileIO
from pathlib import Path

from governance.errors import RecordError
from governance.files import canonical, naming

GENESIS = "0" * 64


class Journal:
    """One log file. A torn last line (power cut during a write) is dropped; anything else is an error.

    Several processes may share a file if they take turns by a lock of their own and call `refresh` at the start of one.

    Args:
        path: of the file; made with the first entry.
        mend: cut a torn last line off; False for one who only reads, and must not touch what another is writing.

    Raises:
        RecordError: the chain is broken.
    """

    def __init__(self, path: Path, *, mend: bool = True) -> None:
        self.path = path
        self.entries: list[Mapping[str, object]] = []
        self.heads = [GENESIS]  # heads[k]: digest of the line that entry k - 1 is in; names all of the log up to there
        self._size, self._mend = 0, mend
        if mend:
            path.parent.mkdir(parents=True, exist_ok=True)
        self.refresh()

    @property
    def head(self) -> str:
        """Digest of the last line."""
        return self.heads[-1]

    def refresh(self) -> None:
        """Read what another process has appended since.

        Raises:
            RecordError: what it appended doesn't go on from here, or the file got shorter.
        """
        data = b""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._size)
                data = file.read()
                short = os.fstat(file.fileno()).st_size < self._size
        else:
            short = self._size > 0
        if short:
            raise RecordError(f"{self.path}: the file got shorter while it was open: entries were cut off")
        whole, newline, torn = data.rpartition(b"\n")
        for line in whole.split(b"\n") if newline else ():
            self._accept(line, len(self.entries) + 1)
        self._size += len(data) - len(torn)
        if torn and self._mend:
            with self.path.open("r+b") as file:
                file.truncate(self._size)
                os.fsync(file.fileno())

    def _accept(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            previous = entry.pop("previous")
        except (ValueError, KeyError, AttributeError, TypeError):
            raise RecordError(f"{self.path}: line {number} is not a journal entry") from None
        if previous != self.head:
            raise RecordError(f"{self.path}: the chain breaks at line {number}: a line was changed, added or removed")
        self.entries.append(entry)
        self.heads.append(hashlib.sha256(line).hexdigest())

    def append(self, entry: Mapping[str, object]) -> None:
        """Add one entry; returns when it is on the disk.

        Raises:
            OSError: it could not be written, for example to a full disk; the journal is then as it was.
            RecordError: as `refresh`.
        """
        self.refresh()  # also cuts off what a write that failed may have left: no line may follow a torn one
        line = canonical({**entry, "previous": self.head})
        new = not self.path.exists()
        # Unbuffered: a buffer that could not be written out is tried again when the file closes.
        with naming(self.path), open(self.path, "ab", buffering=0, opener=_private) as file:
            try:
                _write_whole(file, line + b"\n")
            except BaseException:
                with contextlib.suppress(OSError):  # the first error counts, and `refresh` tries again
                    file.truncate(self._size)
                raise
        if new:
            sync_folder(self.path.parent)
        self.entries.append(dict(entry))
        self.heads.append(hashlib.sha256(line).hexdigest())
        self._size += len(line) + 1


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write_whole(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Put a folder's list of files on the disk: else a power cut can lose a new file with all that is in it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
