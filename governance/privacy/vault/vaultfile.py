"""A session's secrets in memory, and the folder that keeps them sealed between processes.

A file is its expiry in the clear, so that old ones can be swept without the key, and the rest sealed under the
tenant's key together with the session's id and that expiry: neither can be changed, nor one file pass for another.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from governance.errors import ConfigError, ScrubError
from governance.files import canonical, write_atomic
from governance.keys import Key
from governance.privacy.vault.tokens import MOST, draw, numbers, same_value, write

_PURPOSE = "vault"
_HEADER = 8  # bytes: the expiry in milliseconds since 1970
_PATIENCE = 60  # seconds that a session waits for another process which is hiding texts of it


@dataclass(slots=True, repr=False)
class State:
    """What a session knows.

    Attributes:
        values: number -> (entity, value) of each token issued.
        counts: entity that the token says -> pieces hidden.
        seen: numbers that no new token may have: issued ones, and those in the texts themselves.
    """

    values: dict[int, tuple[str, str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seen: set[int] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._numbers = {same_value(entity, value): number for number, (entity, value) in self.values.items()}

    def copy(self) -> State:
        """A state to change, and to drop where that fails."""
        copied = State(counts=self.counts.copy(), seen=self.seen.copy())
        copied.values, copied._numbers = self.values.copy(), self._numbers.copy()
        return copied

    def reserve(self, text: str) -> None:
        """Issue no number that stands in this text, so that none of its own numbers is ever taken for a token's.

        Raises:
            ScrubError: the session holds no more numbers.
        """
        self.seen.update(number for _, _, number in numbers(text))
        if len(self.seen) > MOST:
            raise _full()

    def token(self, entity: str, value: str) -> str:
        """The token of a value, issued on first sight.

        Raises:
            ScrubError: the session has no number left.
        """
        same = same_value(entity, value)
        if same not in self._numbers:
            if len(self.seen) >= MOST:
                raise _full()
            number = draw(self.seen)
            self.seen.add(number)
            self._numbers[same] = number
            self.values[number] = (entity, value)
        number = self._numbers[same]
        label = self.values[number][0]
        self.counts[label] += 1
        return write(label, number)

    def clear(self) -> None:
        """Drop all values."""
        for part in (self.values, self.seen, self._numbers):
            part.clear()


def _full() -> ScrubError:
    return ScrubError(
        f"session: its texts hold more than {MOST} values and numbers, no more fit; "
        "send fewer at once, or begin another session"
    )


class Folder:
    """Session files of one tenant, which only their owner can read.

    Raises:
        ConfigError: the folder can't be made, or others can read it.
    """

    def __init__(self, path: Path, key: Key, tenant: str) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"vault {path}: expected a folder, or a place for one ({error.strerror})") from None
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"vault {path}: others than its owner can read it; run: chmod 700 {path}")
        self._path, self._key, self._tenant = path, key, tenant

    @contextlib.contextmanager
    def locked(self, session: str) -> Iterator[None]:
        """Keep other processes and threads from changing a session meanwhile.

        Raises:
            ScrubError: one of them took longer than a minute.
        """
        import filelock

        try:
            with filelock.FileLock(self._path / f"{session}.lock", timeout=_PATIENCE, mode=0o600):
                yield
        except filelock.Timeout:
            raise ScrubError(f"session: another process has been busy with it for {_PATIENCE} s; try again") from None

    def read(self, session: str) -> tuple[float, State]:
        """(expiry in seconds since 1970, state) of a session.

        Raises:
            ScrubError: there is none, or it was sealed under another key or altered.
        """
        try:
            data = self._file(session).read_bytes()
        except FileNotFoundError:
            raise ScrubError("session: no such session in this vault; it has ended, or was another vault's") from None
        header = data[:_HEADER]
        content = json.loads(
            self._key.decrypt(data[_HEADER:], purpose=_PURPOSE, tenant=self._tenant, context=_bound(session, header))
        )
        values = {number: (entity, value) for number, entity, value in content["values"]}
        return _expiry(header), State(values, Counter(content["counts"]), set(content["seen"]))

    def write(self, session: str, expires: float, state: State) -> None:
        """Keep a session: all of it or, after a crash, what was there before."""
        values = [[number, entity, value] for number, (entity, value) in state.values.items()]
        content = canonical({"values": values, "counts": dict(state.counts), "seen": sorted(state.seen)})
        header = round(expires * 1000).to_bytes(_HEADER, "big")
        sealed = self._key.encrypt(content, purpose=_PURPOSE, tenant=self._tenant, context=_bound(session, header))
        write_atomic(self._file(session), header + sealed)

    def sweep(self, now: float) -> int:
        """Delete the sessions that have expired, and what a killed process left of them; how many files it were."""
        swept = 0
        for file in [*self._path.glob("*.session"), *self._path.glob(".*.session.*")]:
            with contextlib.suppress(FileNotFoundError):  # another process sweeps too
                with file.open("rb") as opened:
                    header = opened.read(_HEADER)
                if len(header) == _HEADER and _expiry(header) <= now:
                    file.unlink()
                    file.with_suffix(".lock").unlink(missing_ok=True)
                    swept += 1
        return swept

    def _file(self, session: str) -> Path:
        return self._path / f"{session}.session"


def _bound(session: str, header: bytes) -> bytes:
    return session.encode() + header


def _expiry(header: bytes) -> float:
    return int.from_bytes(header, "big") / 1000
