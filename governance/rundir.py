"""Where a run is kept, whether it is there already, and that no two audits write it at once."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from governance.progress import Progress
from governance.record import RECORD, RunRecord, load_record


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


@contextlib.contextmanager
def alone(folder: Path, progress: Progress) -> Iterator[None]:
    """One audit at a time on one folder: a second one waits, then finds the first one's stages."""
    import filelock

    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        progress.say(f"another audit is running in {folder}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
