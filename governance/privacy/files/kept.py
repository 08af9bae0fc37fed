"""One file's way through a run: its finished shards on the disk, and the output made of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from governance.errors import DataError
from governance.files import digest_file, digest_of, write_atomic
from governance.privacy.files.batch import Report
from governance.privacy.files.rowfiles import Bad, RowFile, Shard
from governance.privacy.files.rowsout import assemble, target_format

if TYPE_CHECKING:
    import pyarrow as pa

_DIGITS = 24  # of a digest in a folder's name: 96 bits


class Job:
    """One input file of a run.

    Args:
        rows: the file.
        target: its name under OUT.
        part: folder of the run's unfinished work.
        settings: JSON of all else that decides the output.

    Attributes:
        identity: digest of the file and the settings.
        folder: where its shards are kept; a shard is a line of facts and the rows as OUT will hold them.
        size: bytes of the input.
        totals: what was done to it; complete after `assemble`.
    """

    def __init__(self, rows: RowFile, target: Path, part: Path, settings: Mapping[str, object]) -> None:
        self.rows = rows
        self.target = target
        self._stat = _stat(rows.path)
        self.size = rows.path.stat().st_size
        self.identity = digest_of({**settings, "input": digest_file(rows.path), "format": target_format(target)})
        self.folder = part / digest_of([target.as_posix(), self.identity])[:_DIGITS]
        self.made = self.folder / f"made{''.join(target.suffixes)}"
        self.quarantine = self.folder / "quarantine.jsonl"
        self.totals: dict[str, Any] = {}
        self._done = self.folder / "totals.json"

    def missing(self) -> Iterator[tuple[int, Shard]]:
        """The shards that no earlier run has finished, with their numbers.

        Raises:
            DataError: the file changed while it was read.
        """
        if self._assembled():
            return
        for number, shard in enumerate(self.rows.shards()):
            if not self._shard(number).exists():
                yield number, shard
        if _stat(self.rows.path) != self._stat:
            raise DataError(f"{self.rows.path}: changed while it was read; run the same command again")

    def keep(self, number: int, shard: Shard, texts: pa.Array, report: Report) -> None:
        """Put a finished shard on the disk."""
        bad = [*shard.bad, *(Bad(shard.places[row], why, kept=True) for row, why in report.unreadable)]
        facts = {
            "rows": shard.rows,
            "texts": report.texts + sum(one.kept for one in shard.bad),
            "changed": report.changed + sum(one.kept for one in shard.bad),
            "counts": dict(report.counts),
            "bad": [[one.place, one.reason, one.kept] for one in sorted(bad, key=lambda one: one.place)],
        }
        line = json.dumps(facts, ensure_ascii=False).encode() + b"\n"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write_atomic(self._shard(number), line + shard.render(texts))

    def assemble(self) -> None:
        """Make the output of the shards, then forget them."""
        if not self._assembled():
            self.folder.mkdir(mode=0o700, exist_ok=True)  # a file without rows has no shard
            assemble(self.made, self.rows, self._payloads, as_format=target_format(self.target))
            totals = self._totalled()
            with self.made.open("rb") as file:
                os.fsync(file.fileno())
            write_atomic(self._done, json.dumps(totals, ensure_ascii=False).encode())
        self.totals = json.loads(self._done.read_bytes())
        for path in self.folder.glob("*.shard"):
            path.unlink()

    def _assembled(self) -> bool:
        # Both: a kill while a folder's files were moved to their places may have left the totals alone.
        return self._done.exists() and self.made.exists()

    def _shard(self, number: int) -> Path:
        return self.folder / f"{number:08d}.shard"

    def _kept(self) -> Iterator[Path]:
        return iter(sorted(self.folder.glob("*.shard")))

    def _payloads(self) -> Iterator[bytes]:
        for path in self._kept():
            with path.open("rb") as file:
                file.readline()
                yield file.read()

    def _totalled(self) -> dict[str, Any]:
        """The shards' facts in sum; their bad rows go to the quarantine list."""
        sums: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        with self.quarantine.open("w", encoding="utf-8") as listed:
            for path in self._kept():
                with path.open("rb") as file:
                    facts = json.loads(file.readline())
                counts.update(facts["counts"])
                sums.update({name: facts[name] for name in ("rows", "texts", "changed")})
                for place, reason, kept in facts["bad"]:
                    sums["unreadable" if kept else "dropped"] += 1
                    row = {"file": str(self.rows.path), self.rows.unit: place, "reason": reason, "kept": kept}
                    listed.write(json.dumps(row, ensure_ascii=False) + "\n")
        names = ("rows", "texts", "changed", "unreadable", "dropped")
        return {**{name: sums[name] for name in names}, "counts": dict(counts)}


def _stat(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
