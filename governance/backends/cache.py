"""An API's answers on disk, so that each is paid for once, however often the audit is killed.

Keys are digests over all that shapes an answer; values hold the answer after the scrubber. No text that was
sent is stored. A reply without text, such as a refusal, is kept as well: it was paid for. Failures of the endpoint
are not stored: a rerun asks those rows again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from governance.atrest import FILE_VARIABLE, VARIABLE
from governance.backends.firsttoken import Position
from governance.errors import BackendError, ScrubError
from governance.keys import Key

_FORMAT = 1
_PURPOSE = "answers"
_WAIT = 30.0  # seconds to wait for another process's write


class Reply(BaseModel):
    """What an endpoint answered to one message.

    Attributes:
        output: the answer, scrubbed; None where it held no text or too much of it.
        problem: why there is no output.
        personal: pieces of personal data that the scrubber took out.
        seconds: time of the request that succeeded.
        tokens_in: tokens read, as the endpoint counted.
        tokens_out: tokens written.
        model: the name and version that the endpoint reported.
        scores: class -> probability, where asked for and defined.
        positions: the first places of the answer with their alternatives, not scrubbed: never stored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    output: str | None = None
    problem: str | None = None
    personal: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0)
    tokens_in: int | None = Field(default=None, ge=0)
    tokens_out: int | None = Field(default=None, ge=0)
    model: str | None = None
    scores: dict[str, float] | None = Field(default=None, exclude_if=lambda scores: scores is None)
    positions: tuple[Position, ...] = Field(default=(), exclude=True, repr=False)


def key(*, endpoint: str, model: str, prompt: str, settings: Mapping[str, object], system: str, message: str) -> str:
    """Digest of everything that shapes an answer.

    Args:
        endpoint: who answers.
        model: its name there.
        prompt: the prompt's digest.
        settings: temperature, seed and so on.
        system: the system message.
        message: the user message as it leaves, scrubbed.
    """
    parts = [_FORMAT, endpoint, model, prompt, sorted(settings.items()), system, message]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class AnswerCache:
    """Replies by key, in one SQLite file. Each is durable once `put` returns; two processes may share the file."""

    def __init__(self, path: Path, *, secret: Key | None = None) -> None:
        """Open or create the file, readable by its owner alone.

        Args:
            path: of the file.
            secret: replies are encrypted with it; None: they aren't.

        Raises:
            BackendError: it is damaged or can't be written.
        """
        self._path, self._secret = path, secret
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            # Shared between threads because a notebook's event loop makes us work in another one, never in two at once.
            self._base = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise BackendError(f"{path}: the answer cache can't be opened: {error}") from None
        try:
            self._set_up()
        except sqlite3.Error as error:
            self._base.close()
            raise self._damaged(error) from None

    def _set_up(self) -> None:
        """Wait for others here: SQLite's own patience doesn't cover the switch to this mode by two at once."""
        end = time.monotonic() + _WAIT
        while True:
            try:
                # In this mode a commit survives the death of the process; only a power cut may undo the last ones.
                self._base.execute("PRAGMA journal_mode=WAL")
                self._base.execute("PRAGMA synchronous=NORMAL")
                self._base.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.01)
            else:
                return

    def get(self, key: str) -> Reply | None:
        """The reply under this key, if there is one that can be read.

        Raises:
            BackendError: the file is damaged, or the reply is encrypted with a secret that wasn't given.
        """
        try:
            row = self._base.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise self._damaged(error) from None
        if row is None:
            return None
        try:
            return Reply.model_validate_json(self._opened(key, row[0]))
        except ValidationError:
            return None  # asked again, and then replaced

    def _opened(self, key: str, stored: str | bytes) -> str | bytes:
        if isinstance(stored, str):
            return stored
        if self._secret is not None:
            with contextlib.suppress(ScrubError):  # which doesn't know of this file
                return self._secret.decrypt(stored, purpose=_PURPOSE, tenant="", context=key.encode())
        found = "another one" if self._secret else "none"
        raise BackendError(
            f"{self._path}: its answers are encrypted: expected the key that they were written with, found {found}; "
            f"set {VARIABLE} or {FILE_VARIABLE}, or delete the file: its answers will be asked, and paid for, again"
        )

    def _stored(self, key: str, reply: Reply) -> str | bytes:
        said = reply.model_dump_json()
        if self._secret is None:
            return said
        return self._secret.encrypt(said.encode(), purpose=_PURPOSE, tenant="", context=key.encode())

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply; on disk when this returns.

        Raises:
            BackendError: the file is damaged or the disk is full.
        """
        try:
            self._base.execute("INSERT OR REPLACE INTO replies VALUES (?, ?)", (key, self._stored(key, reply)))
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def __len__(self) -> int:
        return int(self._base.execute("SELECT count(*) FROM replies").fetchone()[0])

    def close(self) -> None:
        """Close the file; again is harmless."""
        self._base.close()

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _damaged(self, error: sqlite3.Error) -> BackendError:
        # Starting an empty one unasked would pay for every answer again: that is the user's decision.
        return BackendError(
            f"{self._path}: the answer cache can't be used ({error}). Free disk space if it is full; if the file is "
            "damaged, delete it: its answers will be asked, and paid for, again"
        )
