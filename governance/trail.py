"""The audit trail of a folder of runs: who did what, when, and what came of it. One hash-chained file, `trail.jsonl`.

A line is on the disk before what it tells of can be seen: a record, a verdict, a model or a spent epsilon never lacks
its line, whenever the process is killed. An act that has begun and not ended was cut off, or is under way.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from governance import record, trainrecord
from governance.errors import RecordError
from governance.files import digest_file, digest_of, private_folder
from governance.journal import Journal

TRAIL, LOCK = "trail.jsonl", ".trail.lock"
RECORDS = (record.RECORD, trainrecord.RECORD)
VERDICT = "verdict.json"
ACTOR = "STEELYARD_ACTOR"
CI_ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_REQUESTEDFOR", "BUILDKITE_BUILD_CREATOR", "CIRCLE_USERNAME")
PATIENCE = 60.0  # seconds to wait for another process; a line takes milliseconds
LONGEST = 120  # characters of a name
LEAST_HEAD = 16  # digits of a head that name it
STARTED, ENDED, FAILED, DONE = "started", "ended", "failed", "done"


class Promise(Protocol):
    """What a privacy claim says, or the plan of a training that has yet to keep it."""

    @property
    def epsilon(self) -> float:
        """In nats."""
        ...

    @property
    def delta(self) -> float:
        """In [0, 1)."""
        ...

    @property
    def unit(self) -> str:
        """Who is protected: "record" or "user"."""
        ...


@dataclass
class Act:
    """Something under way; `end` writes its last line."""

    trail: Trail
    name: str
    facts: Mapping[str, object]

    def end(self, **facts: object) -> None:
        """Say what came of it, before anybody can see it."""
        self.trail.note(self.name, {**self.facts, **facts}, moment=ENDED)


class Trail:
    """The trail of one folder of runs, to be written. Several processes take turns.

    Args:
        runs: the folder, with runs in `<audit>/<id>/` or models in `<name>/<id>/`.

    Raises:
        RecordError: the trail was changed.
    """

    def __init__(self, runs: Path) -> None:
        import filelock

        self.runs = runs
        private_folder(runs)
        self._lock = filelock.FileLock(runs / LOCK, timeout=PATIENCE, mode=0o600)
        self._journal: Journal | None = None

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Alone with the trail, and up to date; turns may be nested."""
        import filelock

        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise RecordError(f"{self.runs / TRAIL}: another process has held it for {PATIENCE:g} s") from None
        try:
            yield
        finally:
            self._lock.release()

    def note(self, act: str, facts: Mapping[str, object], *, moment: str = DONE) -> None:
        """Write one line; it is on the disk when this returns."""
        with self.turn():
            if self._journal is None:
                self._journal = Journal(self.runs / TRAIL)
            self._journal.refresh()
            if not self._journal.entries:
                self._journal.append({"act": "begun", "at": _now(), **actor(), "before": dict(_found(self.runs))})
            self._journal.append({**facts, "act": act, "moment": moment, "at": _now(), **actor()})

    @contextlib.contextmanager
    def act(self, act: str, **facts: object) -> Iterator[Act]:
        """Something that takes its time: a line before it, and one after it that `Act.end` or an error writes."""
        told = {"id": secrets.token_hex(8), **facts}
        self.note(act, told, moment=STARTED)
        try:
            yield Act(self, act, told)
        except BaseException as error:
            with contextlib.suppress(OSError, RecordError):  # the act's own error counts; without a line it is cut off
                self.note(act, {**told, "error": type(error).__name__}, moment=FAILED)
            raise


def spending(promises: Mapping[str, Promise]) -> dict[str, dict[str, object]]:
    """What models' privacy comes to, as a line tells it."""
    return {name: {"epsilon": one.epsilon, "delta": one.delta, "unit": one.unit} for name, one in promises.items()}


def around(directory: Path, audit: str) -> Trail | None:
    """The trail that a run's judgements belong to; None for a copy that lies outside a folder of runs."""
    folder = directory.absolute().parent
    return Trail(folder.parent) if folder.name == audit else None


def note_spending(directory: Path, name: str, model: str, plan: Promise) -> None:
    """Say that a private training is about to spend epsilon, at most what its plan comes to.

    Args:
        directory: of the run or model.
        name: of the audit or training.
        model: that is trained.
        plan: of its steps.
    """
    if (trail := around(directory, name)) is not None:
        trail.note("spend", {"run": f"{name}/{directory.name}", "epsilon": spending({model: plan})})


def actor() -> dict[str, str]:
    """Who acts, as far as the machine can tell: a claim, not a proof.

    `STEELYARD_ACTOR`, and then nothing of user or host; else whom the CI system names; else user name and host name.
    """
    for variable in (ACTOR, *CI_ACTORS):
        if name := _plain(os.environ.get(variable, "")):
            return {"who": name}
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user without a name
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "unknown"
    return {"who": _plain(user), "host": _plain(platform.node())}


@dataclass(frozen=True)
class Reading:
    """A trail that was read.

    Attributes:
        path: of its file.
        entries: its lines, oldest first.
        heads: digest of each line, after that of the empty trail.
        problems: what there is without a line, in words.
    """

    path: Path
    entries: Sequence[Mapping[str, Any]]
    heads: Sequence[str]
    problems: Sequence[str] = field(default_factory=tuple)

    def holds(self, head: str) -> bool:
        """Whether all is there that was when this was its head, or the head began like this."""
        return len(head) >= LEAST_HEAD and any(known.startswith(head.lower()) for known in self.heads)


def read_trail(runs: Path) -> Reading:
    """Read a trail, check its chain, and hold it against the runs that are there. Writes nothing.

    Raises:
        RecordError: there is none, or a line was changed, added or taken out.
    """
    path = runs / TRAIL
    there = dict(_found(runs))
    if not path.is_file():
        beside = f", although {len(there)} records and verdicts are here: was it taken away?" if there else ""
        raise RecordError(f"{path}: no audit trail{beside or '; an audit or a training makes one'}")
    journal = Journal(path, mend=False)
    known: set[tuple[str, str]] = set()
    for entry in journal.entries:
        known |= _named(entry)
    problems = [
        f"{place}: no line of the trail tells of it as it is: it was changed, put here, or its line was cut off"
        for place, digest in there.items()
        if (place, digest) not in known
    ]
    return Reading(path, journal.entries, journal.heads, problems)


def _named(entry: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(place, digest) of the records and verdicts that a line tells of."""
    before, run, out = entry.get("before"), entry.get("run"), entry.get("out")
    found = {(str(place), str(digest)) for place, digest in before.items()} if isinstance(before, dict) else set()
    if run is not None and entry.get("record") is not None:
        found |= {(f"{run}/{name}", str(entry["record"])) for name in RECORDS}
    if run is not None and out is not None:
        found.add((f"{run}/out/{out}/{VERDICT}", str(entry.get("verdict"))))
    return found


def _found(runs: Path) -> Iterator[tuple[str, str]]:
    """Place and digest of each record and verdict under a folder of runs."""
    for run in sorted(path for path in runs.glob("*/*") if path.is_dir() and not path.name.startswith(".")):
        if run.name.endswith(".part"):
            continue
        place = run.relative_to(runs).as_posix()
        for name in RECORDS:
            if (run / name).is_file():
                yield f"{place}/{name}", digest_at(run / name)
        for verdict in sorted(run.glob(f"out/*/{VERDICT}")):
            yield verdict.relative_to(runs).as_posix(), digest_file(verdict)


def digest_at(path: Path) -> str:
    """A record's digest, as it gives it itself: over its canonical JSON."""
    try:
        return "sha256:" + digest_of(json.loads(path.read_bytes()))
    except (ValueError, RecursionError):
        return "unreadable"


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:LONGEST].strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
