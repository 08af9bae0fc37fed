"""Where a run is kept, whether it is there already, and that no two audits write it at once."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from governance.evidence.attest import save_attested
from governance.evidence.signing import signing_key
from governance.files import private_folder
from governance.progress import Progress
from governance.record import PREDICTIONS, RECORD, RunRecord, load_record
from governance.trail import Trail, spending


def run_directory(folder: Path, identity: str, *, again: bool) -> Path:
    """Where a run of this identity is or goes: its latest record's folder, or, for a new record, the next one."""
    tries = itertools.chain([identity], (f"{identity}-{number}" for number in itertools.count(2)))
    latest = folder / next(tries)
    while (latest / RECORD).exists():
        following = folder / next(tries)
        if not again and not (following / RECORD).exists():
            break
        latest = following
    return latest


def existing(directory: Path, progress: Progress) -> RunRecord | None:
    """The record of a run that is there already."""
    if not (directory / RECORD).exists():
        return None
    progress.say(f"nothing changed: the record of {directory} stands")
    return load_record(directory)


def recorded(directory: Path, make: Callable[[], RunRecord]) -> RunRecord:
    """A new run, from the line of the trail that says it has begun to its record, which comes last and makes it whole.

    Args:
        directory: of the run, `<runs>/<audit>/<id>`, in which nobody else may write meanwhile.
        make: does the work, and leaves in the directory the files that the record names.
    """
    trail = Trail(directory.absolute().parent.parent)
    with trail.act("audit", run=f"{directory.parent.name}/{directory.name}") as act:
        _clear(directory)
        record = make()
        claims = {entry.name: entry.claim for entry in record.models if entry.claim is not None}
        act.end(record=record.digest(), candidate=record.candidate, epsilon=spending(claims))
        save_attested(record, directory, signing_key())
    return record


def _clear(directory: Path) -> None:
    """Make a run's folder, or take out of it what an attempt that was cut off has left."""
    private_folder(directory)
    if (directory / PREDICTIONS).is_dir():
        shutil.rmtree(directory / PREDICTIONS)
    for left in directory.glob(".*"):  # a write's temporary file
        left.unlink()


@contextlib.contextmanager
def alone(folder: Path, progress: Progress) -> Iterator[None]:
    """One audit at a time on one folder: a second one waits, then finds the first one's stages."""
    import filelock

    private_folder(folder)
    lock = filelock.FileLock(folder / ".lock", mode=0o600)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        progress.say(f"another audit is running in {folder}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
