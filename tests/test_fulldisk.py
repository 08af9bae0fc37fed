"""A full disk: a clear message, exit code 2, and nothing lost of what was done before."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from governance.cli import main
from governance.journal import Journal
from governance.record import load_record
from governance.trail import TRAIL, read_trail
from tests import test_tableaudit

KB = 1024
PAGE = 4 * KB  # a tmpfs hands out whole pages


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


class Ballast:
    """A file that leaves only so much room."""

    def __init__(self, disk: Path) -> None:
        self._disk, self._path = disk, disk / "ballast"

    def leave(self, room: int) -> None:
        self._path.unlink(missing_ok=True)
        free = os.statvfs(self._disk)
        self._path.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - room))


def test_a_journal_that_ran_out_of_disk_goes_on_whole(disk: Path) -> None:
    """In the same process and with the same object, which must never put a line behind a torn one."""
    journal, ballast = Journal(disk / "j"), Ballast(disk)
    journal.append({"text": "first"})
    ballast.leave(2 * PAGE)
    written = 1
    with pytest.raises(OSError, match="No space left") as told:
        while True:
            journal.append({"text": "x" * 3_000})
            written += 1
    assert told.value.errno == errno.ENOSPC
    assert told.value.filename == str(disk / "j")
    assert 1 < written < 5
    for _ in range(3):  # still full
        with pytest.raises(OSError, match="No space left"):
            journal.append({"text": "x" * 3_000})
    assert len(Journal(disk / "j", mend=False).entries) == len(journal.entries) == written
    assert (disk / "j").read_bytes().endswith(b"\n")
    ballast.leave(16 * PAGE)
    journal.append({"text": "last"})
    again = Journal(disk / "j", mend=False)
    assert [entry["text"][:5] for entry in again.entries] == ["first", *["xxxxx"] * (written - 1), "last"]
    assert again.head == journal.head


def test_a_torn_line_that_could_not_be_cut_off_is_cut_off_before_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append({"n": 1})
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"n":2,"prev')
    journal.append({"n": 3})
    assert [entry["n"] for entry in Journal(tmp_path / "j").entries] == [1, 3]


@pytest.mark.slow
def test_an_audit_on_a_full_disk_says_so_and_goes_on_where_it_was(disk: Path, tmp_path: Path) -> None:
    """Room is let out a page or two at a time, so that it runs out in the trail, the record and the reports."""
    test_tableaudit.decisions(tmp_path)
    arguments = ["audit", str(test_tableaudit.config(tmp_path)), "--out", str(disk / "runs"), "--quiet", "--exit-zero"]
    ballast, failures, records = Ballast(disk), 0, set()
    for room in (0, PAGE, *range(5 * PAGE, 120 * PAGE, 9 * PAGE)):
        ballast.leave(room)
        done = CliRunner().invoke(main, arguments)
        records |= {path.read_bytes() for path in disk.glob("runs/credit/*/record.json")}
        if done.exit_code == 0:
            break
        failures += 1
        assert done.exit_code == 2, done.output
        assert "No space left on device; run the same command again to resume" in done.stderr
        assert str(disk) in done.stderr
        if (disk / "runs" / TRAIL).exists() and (disk / "runs" / TRAIL).stat().st_size:
            assert read_trail(disk / "runs").problems == []
    assert done.exit_code == 0
    assert failures >= 4
    assert len(records) == 1  # the record that was written when the reports had no room is the one that stands
    [path] = disk.glob("runs/credit/*/record.json")
    assert load_record(path.parent).audit == "credit"
    trail = read_trail(disk / "runs")
    assert trail.problems == []
    moments = {entry.get("moment") for entry in trail.entries}
    assert moments >= {"ended", "done"}
    checked = CliRunner().invoke(main, ["verify", str(path.parent)])
    assert "added" not in checked.output, checked.output
