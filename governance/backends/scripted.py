"""A model that plays a script: fixed answers, faults and delays, through all the machinery that a vendor's passes.

For trying an audit without a key and without money, for tests, and for measuring what the machinery itself costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Unpack, override

from governance.backends.asking import Asking, Common
from governance.backends.cache import Reply
from governance.backends.faults import Blame, Fault
from governance.backends.limits import most
from governance.backends.line import Tries
from governance.files import digest_of

HOST = "a script"
_WHOLE = 2**32


@dataclass(frozen=True, slots=True)
class Script:
    """What is played. Which answer a message gets, and whether it fails, hangs on its words alone: reruns agree.

    Attributes:
        answers: one of them is given to each message.
        failing: reason -> share of messages that fail for it; together at most 1.
        delay: seconds until an answer.
        version: what it says that it is.
    """

    answers: Sequence[str]
    failing: Mapping[str, float] = field(default_factory=dict)
    delay: float = 0.0
    version: str = "script-1"

    def __post_init__(self) -> None:
        if not self.answers:
            raise ValueError("answers: expected at least one")
        shares = list(self.failing.values())
        if not all(0 <= share <= 1 for share in shares) or sum(shares) > 1:
            raise ValueError("failing: expected shares that sum to at most 1")

    def play(self, message: str) -> str | Fault:
        """What one message gets."""
        digest = hashlib.blake2b(message.encode(), digest_size=8).digest()
        luck = int.from_bytes(digest[:4], "big") / _WHOLE
        for reason, share in self.failing.items():
            if luck < share:
                return Fault(reason, Blame.ROW)
            luck -= share
        return self.answers[int.from_bytes(digest[4:], "big") % len(self.answers)]


class _Stage:
    """In place of a `Line`: where a script is played instead of a request sent."""

    host = HOST

    def __init__(self, script: Script) -> None:
        self.script = script
        self._slots: contextlib.AbstractAsyncContextManager[Any] = contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def open(self, at_once: int | None = None) -> AsyncIterator[None]:
        """Nothing to open."""
        self._slots = asyncio.Semaphore(at_once) if at_once else contextlib.nullcontext()
        yield None

    async def ask(self, client: Any, body: Mapping[str, object], tries: Tries | None = None) -> Reply | Fault:  # noqa: ARG002 - a line's
        """One message's part of the script."""
        if self.script.delay:
            async with self._slots:
                await asyncio.sleep(self.script.delay)
        if tries is not None:
            tries.begun += 1
        system, user = str(body["system"]), str(body["user"])
        found = self.script.play(user)
        if isinstance(found, Fault):
            return found
        read, written = most(system, user, len(found.encode()))
        return Reply(
            output=found, tokens_in=read, tokens_out=written, seconds=self.script.delay, model=self.script.version
        )


class ScriptedBackend(Asking):
    """Plays a script; see `Asking` for the rest, all of which is real: scrubbing, cache, budget, limits, reading."""

    def __init__(self, script: Script, *, max_tokens: int = 8, **common: Unpack[Common]) -> None:
        """Get ready to play.

        Args:
            script: what is played.
            max_tokens: length limit of an answer, as far as money is set aside for it.
            common: see `Common`.
        """
        played = {"answers": list(script.answers), "failing": dict(script.failing), "version": script.version}
        super().__init__(
            _Stage(script),
            model=script.version,
            identity=f"script {digest_of(played)}",
            options={"max_tokens": max_tokens},
            max_tokens=max_tokens,
            **common,
        )

    @override
    def _body(self, system: str, user: str) -> Mapping[str, object]:
        return {"system": system, "user": user}
