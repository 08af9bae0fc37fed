"""What a run does to a batch of texts: scrub them, hide them in a vault's session, or put a session's values back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from governance.privacy.files.batch import Report, rewrite_arrow, scrub_arrow
from governance.privacy.files.bulk import Work
from governance.privacy.keys import Key
from governance.privacy.leaves import Found, Kind, rewrite
from governance.privacy.policy import Direction, ScrubPolicy
from governance.privacy.scrubber import Scrubber
from governance.privacy.standins.operators import Operators, Piece
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

    return Work({"session": session.id, **_made_by()}, lambda: partial(rewrite_arrow, rewrite=hide))


def restoring(session: Session) -> Work:
    """Put a session's values back into answers; what a model made up is scrubbed. Runs in this process alone."""

    def restore(texts: Sequence[str]) -> list[tuple[str, Mapping[str, int]]]:
        return [(session.restore(text), {}) for text in texts]

    return Work({"restore": session.id, **_made_by()}, lambda: partial(rewrite_arrow, rewrite=restore))


def _made_by() -> Mapping[str, object]:
    return {"code": code_digest("governance.privacy", "governance.engine"), "versions": dict(versions("pyarrow"))}


def _scrubbing(policy: ScrubPolicy, direction: Direction, kind: Kind) -> Batch:
    scrubber = Scrubber(policy)
    if kind == "text":
        return partial(scrub_arrow, scrubber=scrubber, direction=direction)
    key = Key.from_env(policy.key_env) if policy.keyed else None
    return partial(rewrite_arrow, rewrite=partial(_leaves, scrubber, Operators(key, policy.tenant), direction, kind))


def _leaves(
    scrubber: Scrubber, operators: Operators, direction: Direction, kind: Kind, values: Sequence[str]
) -> list[tuple[str, Mapping[str, int]]]:
    """Structured values with their leaves scrubbed."""
    rules = scrubber.policy.entities

    def replace(found: Sequence[Found]) -> list[str]:
        return operators.stand_ins(
            [Piece(one.entity, one.value, rules[one.entity].action_for(direction)) for one in found]
        )

    done = rewrite(values, kind, lambda leaves: scrubber.find(leaves, direction), replace)
    return [(value.text, Counter(value.entities)) for value in done]
