"""An append-only, hash-chained log: what was spent or decided can't be unsaid.

Each line holds the digest of the line before it, so an edit or a cut in the middle is found.
A line is on the disk before the act that it announces happens (write-ahead), so after a kill
the journal never shows less than what was done.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from governance.errors import RecordError
from governance.files import canonical

GENESIS = "0" * 64


class Journal:
    """One log file. A torn last line (power cut during a write) is dropped; anything else is an error.

    Raises:
        RecordError: the chain is broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Mapping[str, object]] = []
        self._head = GENESIS
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole, _, torn = data.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), 1):
            self._accept(line, number)
        if torn:
            with path.open("r+b") as file:
                file.truncate(len(data) - len(torn))
                os.fsync(file.fileno())

    def _accept(self, line: bytes, number: int) -> None:
        try:
            entry = json.loads(line)
            previous = entry.pop("previous")
        except (ValueError, KeyError, AttributeError):
            raise RecordError(f"{self.path}: line {number} is not a journal entry") from None
        if previous != self._head:
            raise RecordError(f"{self.path}: the chain breaks at line {number}: a line was changed, added or removed")
        self.entries.append(entry)
        self._head = hashlib.sha256(line).hexdigest()

    def append(self, entry: Mapping[str, object]) -> None:
        """Add one entry; returns when it is on the disk."""
        line = canonical({**entry, "previous": self._head})
        with self.path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(dict(entry))
        self._head = hashlib.sha256(line).hexdigest()
