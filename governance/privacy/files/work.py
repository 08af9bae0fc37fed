"""What a run does to a batch of texts: scrub them, hide them in a vault's session, or put a session's values back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from governance.errors import ScrubError
from governance.keys import Key
from governance.privacy.files.batch import Report, rewrite_arrow, scrub_arrow
from governance.privacy.files.bulk import Work
from governance.privacy.leaves import Found, Kind, Rewritten, rewrite
from governance.privacy.policy import Direction, ScrubPolicy
from governance.privacy.scrubber import ROUNDS, Scrubber
from governance.store import code_digest, versions

if TYPE_CHECKING:
    import pyarrow as pa

    from governance.privacy.vault.vault import Session

Batch = Callable[["pa.Array"], "tuple[pa.Array, Report]"]


def scrubbing(policy: ScrubPolicy, direction: Direction, kind: Kind) -> Work:
    """Scrub by a policy; equal texts become equal texts, on any worker.

    Raises:
        ConfigError: the policy's key is missing.
    """
    key = Key.from_env(policy.key_env).identity(policy.tenant) if policy.keyed else None
    identity = {"policy": policy.fingerprint(), "direction": direction, "structure": kind, "key": key, **_made_by()}
    return Work(identity, partial(_scrubbing, policy, direction, kind))


def hiding(session: Session) -> Work:
    """Hide in a vault's session. Runs in this process alone: the session's numbers are given out here."""

    def hide(texts: Sequence[str]) -> list[tuple[str, Mapping[str, int]]]:
        before = Counter(session.counts)
        hidden = session.hide(texts)
        new = Counter(session.counts) - before
        # The session counts as a whole: what it hid in all of these texts goes with the first.
        return [(text.text, {} if row else new) for row, text in enumerate(hidden)]

    return Work({"session": session.id, **_ruled_by(session)}, lambda: partial(rewrite_arrow, rewrite=hide))


def restoring(session: Session) -> Work:
    """Put a session's values back into answers; what a model made up is scrubbed. Runs in this process alone."""

    def restore(texts: Sequence[str]) -> list[tuple[str, Mapping[str, int]]]:
        return [(session.restore(text), {}) for text in texts]

    return Work({"restore": session.id, **_ruled_by(session)}, lambda: partial(rewrite_arrow, rewrite=restore))


def _ruled_by(session: Session) -> Mapping[str, object]:
    return {"policy": session.policy.fingerprint(), **_made_by()}


def _made_by() -> Mapping[str, object]:
    return {"code": code_digest("governance.privacy", "governance.engine"), "versions": dict(versions("pyarrow"))}


def _scrubbing(policy: ScrubPolicy, direction: Direction, kind: Kind) -> Batch:
    scrubber = Scrubber(policy)
    if kind == "text":
        return partial(scrub_arrow, scrubber=scrubber, direction=direction)
    return partial(rewrite_arrow, rewrite=partial(_leaves, scrubber, direction, kind))


def _leaves(
    scrubber: Scrubber, direction: Direction, kind: Kind, values: Sequence[str]
) -> Sequence[tuple[str, Mapping[str, int]]]:
    """Structured values with their leaves scrubbed.

    Raises:
        ScrubError: a value never settles.
    """

    def replace(found: Sequence[Found]) -> list[str]:
        return scrubber.stand_ins([(one.entity, one.value) for one in found], direction)

    def rewritten(texts: Sequence[str]) -> list[Rewritten]:
        return rewrite(texts, kind, lambda leaves: scrubber.find(leaves, direction), replace)

    done = [(value.text, Counter(value.entities)) for value in rewritten(values)]
    for row, (text, counts) in enumerate(done):
        # A stand-in that is no placeholder may complete a pattern with what is left beside it: read again.
        if not scrubber.bracketed(counts, direction):
            done[row] = _settled(rewritten, text, counts)
    return done


def _settled(
    rewritten: Callable[[Sequence[str]], list[Rewritten]], text: str, counts: Counter[str]
) -> tuple[str, Counter[str]]:
    for _ in range(ROUNDS):
        [again] = rewritten([text])
        # Surrogates are found again and stand for themselves: no more finds than before is an end.
        if again.text == text or not Counter(again.entities) - counts:
            return text, counts
        text, counts = again.text, counts | Counter(again.entities)
    raise ScrubError(f"a structured text still yields new personal data after {ROUNDS} readings")
