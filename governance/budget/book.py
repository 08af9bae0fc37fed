"""A sealed, shared, append-only file: what the ledger is written in.

A folder with the journal, a head that counts its entries, a key and a lock. The journal's chain shows an edit or a cut
in the middle; a seal on each entry under the key shows one that was rewritten with the rest of its chain; the head
shows a cut at the end. An older copy of the whole folder looks sound: only one who kept a later head can tell.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from governance.errors import ConfigError, RecordError
from governance.files import canonical, write_atomic
from governance.journal import Journal

BOOK, HEAD, KEY, LOCK = "book.jsonl", "head.json", "key", ".lock"
KEY_VARIABLE = "STEELYARD_BUDGET_KEY"
LEAST_BYTES = 32
LEAST_HEAD = 16  # digits of a head that name it
PATIENCE = 600.0
"""Seconds to wait for another process; one composition takes one at most."""


class Book:
    """Entries in the order in which they were written.

    Args:
        folder: of the book.
        create: make it if there is none; else it must be there, and is only read.

    Raises:
        RecordError: it is missing, or its chain, seals or count are broken.
        ConfigError: the key can't be used.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder, self._writes = folder, create
        self.entries: list[Mapping[str, object]] = []  # without their seals
        if not create and not (folder / BOOK).exists() and not (folder / HEAD).exists():
            raise RecordError(f"{folder}: no budget book here; a private run makes one before its first step")
        if create:
            folder.mkdir(parents=True, exist_ok=True)
            self._mode = 0o660 if folder.stat().st_mode & 0o020 else 0o600
            with self._lock():
                self._key = self._open_key()
                self._open()
        else:
            self._key = self._open_key()
            self._open()

    @property
    def head(self) -> str:
        """Names all that is written so far; kept elsewhere it shows later whether the book was set back."""
        return self._journal.head

    def holds(self, head: str) -> bool:
        """Whether the book still holds all that it held when this was its head, or the head began like this."""
        return len(head) >= LEAST_HEAD and any(known.startswith(head.lower()) for known in self._journal.heads)

    def subkey(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose."""
        return hmac.digest(self._key, b"steelyard budget 1 " + purpose.encode(), "sha256")

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Alone with the book, and up to date; `append` only inside."""
        if not self._writes:
            raise ConfigError(f"{self.folder}: the budget book was opened to be read; open it to be written")
        with self._lock():
            self._refresh()
            yield

    def append(self, entry: Mapping[str, object]) -> None:
        """Write an entry; returns when it is on the disk."""
        self._journal.append({**entry, "seal": self._seal(self._journal.head, entry)})
        self.entries.append(dict(entry))
        self._write_head()

    def _open(self) -> None:
        head = self._read_head()  # first: the book only grows, so it can't be behind a head that was read before it
        self._journal = Journal(self.folder / BOOK, mend=self._writes)
        self._check(head)
        if head is None and self._writes:
            self._write_head()

    def _refresh(self) -> None:
        head = self._read_head()
        self._journal.refresh()
        self._check(head)

    def _check(self, head: Mapping[str, object] | None) -> None:
        """Seals of new entries, and that the counted ones are all there."""
        heads = self._journal.heads
        for place in range(len(self.entries), len(self._journal.entries)):
            entry = dict(self._journal.entries[place])
            seal = entry.pop("seal", "")
            if not hmac.compare_digest(str(seal), self._seal(heads[place], entry)):
                raise RecordError(
                    f"{self._journal.path}: the seal of line {place + 1} doesn't fit: it was changed, "
                    "or written with another key"
                )
            self.entries.append(entry)
        if head is None:
            if self.entries:
                raise RecordError(f"{self.folder / HEAD}: missing; put it back from a copy")
            return
        count = int(str(head["entries"]))
        if count > len(self.entries) or heads[count] != head["head"]:
            raise RecordError(
                f"{self._journal.path}: expected {count} entries that end in {str(head['head'])[:12]}, found "
                f"{len(self.entries)}: entries were cut off or replaced; put the file back from a copy"
            )

    def _seal(self, head: str, entry: Mapping[str, object]) -> str:
        return hmac.digest(self.subkey("seal"), canonical([head, entry]), "sha256").hex()

    def _read_head(self) -> Mapping[str, object] | None:
        path = self.folder / HEAD
        if not path.exists():
            return None
        try:
            head = json.loads(path.read_bytes())
            seal, facts = head.pop("seal"), {"entries": int(head["entries"]), "head": str(head["head"])}
        except (ValueError, KeyError, AttributeError, TypeError):
            raise RecordError(f"{path}: not the head of a budget book; put it back from a copy") from None
        if not hmac.compare_digest(str(seal), self._seal("head", facts)):
            raise RecordError(f"{path}: its seal doesn't fit: it was changed, or made with another key than this one")
        return facts

    def _write_head(self) -> None:
        facts = {"entries": len(self.entries), "head": self._journal.head}
        path = self.folder / HEAD
        write_atomic(path, canonical({**facts, "seal": self._seal("head", facts)}) + b"\n")
        self.share(path)
        self.share(self._journal.path)

    def share(self, path: Path) -> None:
        """A folder that a group may write to is a team's: its files are too. The key never is."""
        if path.exists() and stat.S_IMODE(path.stat().st_mode) != self._mode:
            with contextlib.suppress(PermissionError):  # another member's file, whose mode that member has set
                path.chmod(self._mode)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        import filelock

        try:
            with filelock.FileLock(self.folder / LOCK, timeout=PATIENCE, mode=self._mode):
                yield
        except filelock.Timeout:
            raise RecordError(f"{self.folder}: another process has held the budget book for {PATIENCE:g} s") from None

    def _open_key(self) -> bytes:
        text = os.environ.get(KEY_VARIABLE)
        if text:
            return _parsed(text, f"environment variable {KEY_VARIABLE}")
        path = self.folder / KEY
        if not path.exists():
            if (self.folder / BOOK).exists() or (self.folder / HEAD).exists():
                raise RecordError(
                    f"{path}: the book's key is missing; put it back or set {KEY_VARIABLE}. Without it nobody can tell "
                    "what was spent"
                )
            write_atomic(path, secrets.token_hex(LEAST_BYTES).encode() + b"\n")  # made 0600
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"{path}: others than its owner can read the key; run: chmod 600 {path}")
        return _parsed(path.read_text("ascii", "replace"), str(path))


def _parsed(text: str, source: str) -> bytes:
    compact = text.strip()
    if not re.fullmatch(r"(?:[0-9a-fA-F]{2})+", compact) or len(compact) < 2 * LEAST_BYTES:
        raise ConfigError(
            f"{source}: expected {LEAST_BYTES} random bytes or more in hex; "
            "make them: python -c 'import secrets; print(secrets.token_hex(32))'"
        )
    return bytes.fromhex(compact)
