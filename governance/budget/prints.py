"""The fingerprints of a book's data sets, each in a file beside it, and which of them overlap."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from governance.budget.fingerprint import Fingerprint
from governance.errors import RecordError
from governance.files import write_atomic

PRINTS = "fingerprints"


class Prints:
    """Sketches by digest; the book holds each file's SHA-256, so a changed one is found.

    Args:
        folder: of the book.
        expected: of a digest, the rows and SHA-256 in the book.
        share: called with each new file.
    """

    def __init__(self, folder: Path, expected: Callable[[str], tuple[int, str]], share: Callable[[Path], None]) -> None:
        self._folder, self._expected, self._share = folder / PRINTS, expected, share
        self._known: dict[str, Fingerprint] = {}
        self._overlaps: dict[tuple[str, str], bool] = {}

    def keep(self, data: Fingerprint) -> str:
        """Put a sketch on the disk, before the book names it; returns its SHA-256."""
        content = data.to_bytes()
        path = self._path(data.digest)
        if not path.exists() or path.read_bytes() != content:
            write_atomic(path, content)
            self._share(path)
        self._known[data.digest] = data
        return hashlib.sha256(content).hexdigest()

    def overlapping(self, one: Fingerprint | str, other: Fingerprint | str) -> bool:
        """Whether two data sets, or those that the book knows by these digests, share rows as far as can be told.

        Raises:
            RecordError: a sketch is missing or changed.
        """
        first, second = (item if isinstance(item, str) else item.digest for item in (one, other))
        if first == second:
            return True
        pair = (first, second)
        if pair not in self._overlaps:
            a, b = (self._print(item) if isinstance(item, str) else item for item in (one, other))
            self._overlaps[pair] = self._overlaps[pair[::-1]] = a.overlap(b) > 0
        return self._overlaps[pair]

    def _print(self, digest: str) -> Fingerprint:
        if digest not in self._known:
            path = self._path(digest)
            rows, expected = self._expected(digest)
            content = path.read_bytes() if path.exists() else b""
            if hashlib.sha256(content).hexdigest() != expected:
                raise RecordError(f"{path}: missing or changed; put it back from a copy: it tells whether data overlap")
            self._known[digest] = Fingerprint.from_bytes(content, digest=digest, rows=rows)
        return self._known[digest]

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:32]
