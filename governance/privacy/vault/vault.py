"""The vault: texts go to a closed model with tokens for what is personal, and its answers come back with the values.

A session is one conversation. Its tokens are random, so they say nothing about a value, and only its own come back:
a wrong value in an answer is worse than a token that stays.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from governance.dataset import ScrubbedText
from governance.errors import ConfigError, ScrubError
from governance.keys import Key
from governance.privacy.normalise import repair
from governance.privacy.overlaps import CHECKSUM, LITERAL, MODEL, Find, Span, redact, resolve
from governance.privacy.policy import ScrubPolicy
from governance.privacy.scrubber import ROUNDS, Scrubber, require_strings
from governance.privacy.vault.streaming import Restorer
from governance.privacy.vault.tokens import Spelling, numbers, spellings
from governance.privacy.vault.vaultfile import Folder, State

Clock = Callable[[], float]
"""Seconds since 1970."""

DAY = 86_400.0
_ID = re.compile(r"[0-9a-f]{32}")


class Vault:
    """Sessions of one tenant: in memory, or encrypted in a folder that processes may share. Threads may share it too.

    What has expired is deleted whenever a vault opens on a folder, and whenever one in memory begins a session.

    Args:
        scrubber: finds what to hide (direction "prompt") and what a model made up ("output").
        key: the tenant's; needed with a path.
        path: folder of session files; None: sessions end with the process.
        ttl: seconds from the start of a session to its end, > 0.
        clock: tells the time.

    Raises:
        ConfigError: a path without a key, a folder that others can read, or a ttl that is no number above 0.
    """

    def __init__(
        self,
        scrubber: Scrubber,
        key: Key | None = None,
        path: Path | None = None,
        *,
        ttl: float = DAY,
        clock: Clock = time.time,
    ) -> None:
        if not (math.isfinite(ttl) and ttl > 0):
            raise ConfigError(f"vault: ttl: expected seconds above 0, found {ttl}")
        self._folder = _folder(scrubber, key, path)
        self._scrubber, self._ttl, self._clock = scrubber, ttl, clock
        self._sessions: dict[str, Session] = {}  # those without a file
        self._lock = threading.Lock()
        if self._folder is not None:
            self.sweep()

    def session(self) -> Session:
        """A new session, with a random id."""
        session = Session(self._scrubber, self._folder, secrets.token_hex(16), self._clock() + self._ttl, self._clock)
        if self._folder is not None:
            self._folder.write(session.id, session.expires, State())
        else:
            self.sweep()
            with self._lock:
                self._sessions[session.id] = session
        return session

    def resume(self, session_id: str) -> Session:
        """A session that was begun before, perhaps by another process.

        Raises:
            ScrubError: there is none, it has expired or was closed, or its file was altered or needs another key.
        """
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            if self._folder is None or not _ID.fullmatch(session_id):
                raise ScrubError("session: no such session in this vault; it has ended, or was another vault's")
            expires, _ = self._folder.read(session_id)
            session = Session(self._scrubber, self._folder, session_id, expires, self._clock)
        session.check()
        return session

    def sweep(self) -> int:
        """Delete the sessions that have expired; how many files or sessions it were."""
        now = self._clock()
        with self._lock:
            old = [session for session in self._sessions.values() if session.expires <= now]
            for session in old:
                del self._sessions[session.id]
        for session in old:
            session.close()
        return len(old) + (self._folder.sweep(now) if self._folder is not None else 0)


def _folder(scrubber: Scrubber, key: Key | None, path: Path | None) -> Folder | None:
    if path is None:
        return None
    if key is None:
        raise ConfigError("vault: a vault on disk holds personal data: expected a key; give one, or leave out the path")
    return Folder(path, key, scrubber.policy.tenant)


class Session:
    """One conversation; made by a vault. Threads may share it: they take turns.

    Attributes:
        id: names it to `Vault.resume`; says nothing about its texts.
        expires: when it ends, in seconds since 1970.
    """

    def __init__(
        self, scrubber: Scrubber, folder: Folder | None, session_id: str, expires: float, clock: Clock
    ) -> None:
        self.id, self.expires = session_id, expires
        self._scrubber, self._folder, self._clock = scrubber, folder, clock
        self._state = State()
        self._closed = False
        self._lock = threading.RLock()

    @property
    def policy(self) -> ScrubPolicy:
        """What is looked for."""
        return self._scrubber.policy

    @property
    def counts(self) -> Mapping[str, int]:
        """Entity -> pieces hidden so far; "LITERAL": pieces that read like tokens and are nobody's data."""
        with self._current() as state:
            return dict(state.counts)

    def check(self) -> None:
        """Raise a `ScrubError` if the session has expired or was closed."""
        if self._closed:
            raise ScrubError("session: it was closed; begin another one")
        if self._clock() >= self.expires:
            raise ScrubError("session: it has expired; begin another one, or give the vault a longer ttl")

    def hide(self, texts: Sequence[str]) -> list[ScrubbedText]:
        """Texts that may leave, in order: a token in place of each piece of personal data and of each look-alike.

        A value keeps its token throughout the session, however it is spelt; it comes back as it was spelt first.

        Raises:
            ScrubError: an item is not a string (named by position), a recogniser failed, a text never settles, the
                session is full, closed or has expired. The session is then as it was before.
        """
        require_strings(texts)
        clean = [repair(text) for text in texts]
        with self._current(change=True) as state:
            for text in clean:
                state.reserve(text)
            return [ScrubbedText(text) for text in self._hidden(clean, state)]

    def restore(self, answer: str) -> str:
        """A model's answer for the person who asked: what the model made up scrubbed, issued tokens as their values.

        Raises:
            ScrubError: the scrubber can't vouch for the answer, or the session is closed or has expired.
        """
        stream = self.stream()
        return stream.feed(answer) + stream.finish()

    def stream(self) -> Restorer:
        """`restore` for an answer that arrives in chunks; the same result for any split. Raises as `restore`."""
        with self._current():
            return Restorer(self._scrubber, self._value)

    def close(self) -> None:
        """Drop the values from memory. A session with a file can be resumed until it expires."""
        with self._lock:
            self._closed = True
            self._state.clear()

    @contextlib.contextmanager
    def _current(self, *, change: bool = False) -> Iterator[State]:
        """What the session knows now, whoever wrote it; with `change`, kept afterwards, and dropped on an error."""
        with self._lock:
            self.check()
            if self._folder is None:
                state = self._state.copy() if change else self._state
                yield state
                self._state = state
                return
            with self._folder.locked(self.id) if change else contextlib.nullcontext():
                _, state = self._folder.read(self.id)
                yield state
                if change:
                    self._folder.write(self.id, self.expires, state)
                self._state = state

    def _value(self, spelling: Spelling) -> str | None:
        with self._lock:
            self.check()
            label, value = self._state.values.get(spelling.number, ("", ""))
            return value if label == spelling.label else None

    def _hidden(self, texts: Sequence[str], state: State) -> list[str]:
        found = self._scrubber.find(texts, "prompt")
        spans = [_with_lookalikes(text, finds, state) for text, finds in zip(texts, found, strict=True)]
        hidden = list(texts)
        pending = list(range(len(texts)))
        for _ in range(ROUNDS):
            for row in pending:
                hidden[row] = _tokenised(hidden[row], spans[row], state)
            # Read again: a token may have parted what a recogniser read as one.
            pending = [row for row in pending if spans[row]]
            if not pending:
                return hidden
            for row, finds in zip(
                pending, self._scrubber.find([hidden[row] for row in pending], "prompt"), strict=True
            ):
                spans[row] = finds
        raise ScrubError(f"a text still yields new personal data after {ROUNDS} readings, so it can't be sent")


def _with_lookalikes(text: str, finds: Sequence[Span], state: State) -> list[Span]:
    """The finds, and what a model could give back so that it reads like a token."""
    alike = [(found.start, found.end) for found in spellings(text)]
    alike += [(start, end) for start, end, number in numbers(text) if number in state.values]
    personal = (Find(span.entity, span.start, span.end, 1.0, CHECKSUM) for span in finds)
    return resolve([*personal, *(Find(LITERAL, start, end, 0.0, MODEL) for start, end in alike)])


def _tokenised(text: str, spans: Sequence[Span], state: State) -> str:
    return redact(text, spans, [state.token(span.entity, text[span.start : span.end]) for span in spans]).text
