"""The scrubber: raw text in, sealed text out, nothing kept of what it took out.

It reads its own result again until it finds nothing more, so a scrubbed text scrubbed again is the same
text, and no text passes that its own recognisers would flag. What it can't vouch for is an error, except for
one text among those for training, which becomes `[UNREADABLE]` as a whole.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from governance.dataset import ScrubbedText
from governance.errors import ScrubError
from governance.keys import Key
from governance.privacy.normalise import readings, repair
from governance.privacy.overlaps import (
    UNREADABLE,
    Find,
    Redacted,
    Span,
    outside_placeholders,
    redact,
    resolve,
)
from governance.privacy.policy import BRACKETED, Direction, ScrubPolicy
from governance.privacy.standins.operators import Operators, Piece
from governance.privacy.windows import Window, windows

ROUNDS = 50
"""Readings after which a text that still yields something new is given up. Each takes out at least one character."""
_NEVER = f"a text still yields new personal data after {ROUNDS} readings, so it can't be passed on"


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """One scrubbed text, and how many pieces of each entity were taken out of it."""

    text: ScrubbedText
    counts: Mapping[str, int]


class Scrubber:
    """Finds and replaces personal data by one policy. Threads may share one: they take turns.

    Args:
        policy: what to look for.
        key: of keyed actions; absent: read from the environment variable that the policy names, if it has such actions.

    Raises:
        ConfigError: a model that the policy names is not installed, or a keyed action has no key.
    """

    def __init__(self, policy: ScrubPolicy, key: Key | None = None) -> None:
        # Loading takes seconds: policies and spans are useful without it.
        from governance.privacy.analyser import Analyser

        self.policy = policy
        self._operators = Operators(key or (Key.from_env(policy.key_env) if policy.keyed else None), policy.tenant)
        self._analyser = Analyser(policy)
        self._lock = threading.Lock()

    def scrub_many(self, texts: Sequence[str], direction: Direction) -> list[Scrubbed]:
        """Scrub texts, one result each, in order; equal texts are read once.

        A text that still yields personal data after `ROUNDS` readings can't be passed on. On its way into training it
        is replaced as a whole by `[UNREADABLE]` and counted as one "UNREADABLE", so that it neither stops the other
        texts nor vanishes unseen.

        Raises:
            ScrubError: an item is not a string (named by position), a recogniser failed, or a text that is no
                training text never settles.
        """
        clean = _checked(texts)
        done: dict[str, Scrubbed] = {}
        unique = list(dict.fromkeys(clean))
        for text, spans in zip(unique, self._spans(unique, direction), strict=True):
            replaced = None if spans is None else self._replaced(text, spans, direction)
            if spans is None or replaced is None:
                if direction != "train":
                    raise ScrubError(_NEVER)
                done[text] = Scrubbed(ScrubbedText(f"[{UNREADABLE}]"), {UNREADABLE: 1})
            else:
                done[text] = Scrubbed(ScrubbedText(replaced), dict(Counter(span.entity for span in spans)))
        return [done[text] for text in clean]

    def scrub_one(self, text: str, direction: Direction) -> tuple[str, dict[str, int]]:
        """Scrub one text: its redacted form, and entity -> pieces taken out. Raises as `scrub_many`."""
        [scrubbed] = self.scrub_many([text], direction)
        return scrubbed.text.text, dict(scrubbed.counts)

    def find(self, texts: Sequence[str], direction: Direction = "train") -> list[list[Span]]:
        """What `scrub_many` would replace, one list of disjoint spans per text, in order.

        Raises as `scrub_many` on its strict side: a text that never settles is an error.
        Positions are those of the text given, unless it held broken surrogate pairs.
        """
        return [_settled(spans) for spans in self._spans(_checked(texts), direction)]

    def find_within(self, parts: Sequence[Window]) -> list[list[Span]]:
        """What would be replaced in each window's own text, read together with the text before it. Raises as `find`."""
        found = self._settle(_checked([part.context + part.text for part in parts]), "output")
        return [_within(part, _settled(spans)) for part, spans in zip(parts, found, strict=True)]

    def stand_ins(self, found: Sequence[tuple[str, str]], direction: Direction) -> list[str]:
        """What the policy puts in the place of each (entity, value) of one text, in order."""
        rules = self.policy.entities
        return self._operators.stand_ins(
            [Piece(entity, value, rules[entity].action_for(direction)) for entity, value in found]
        )

    def bracketed(self, entities: Iterable[str], direction: Direction) -> bool:
        """Whether all of these become placeholders, which are known to hold nothing."""
        return all(self.policy.entities[entity].action_for(direction) in BRACKETED for entity in entities)

    def _replaced(self, text: str, spans: list[Span], direction: Direction) -> str | None:
        """The text with stand-ins for its spans; None: what is around them never settles.

        Placeholders are known to hold nothing. Another stand-in may complete a pattern with what is left beside it
        (a removed value joins its neighbours), so the result is read again, and whatever is found outside is taken out.
        """
        for _ in range(ROUNDS):
            found = [(span.entity, text[span.start : span.end]) for span in spans]
            version = redact(text, spans, self.stand_ins(found, direction))
            if self.bracketed((span.entity for span in spans), direction):
                return version.text
            [finds] = self._read([version.text], direction)
            new = [span for find in finds for span in _kept(version, find)]
            if not new:
                return version.text
            spans = _merged([*spans, *new])
        return None

    def _spans(self, texts: list[str], direction: Direction) -> list[list[Span] | None]:
        """Spans of each text; None: it never settles."""
        if direction != "output":
            return self._settle(texts, direction)
        # What a model says may come in pieces: a whole answer is cut where a stream would be.
        cut = [windows(text) for text in texts]
        found = iter(self._settle([part.context + part.text for parts in cut for part in parts], direction))
        return [_joined([(part, next(found)) for part in parts]) for parts in cut]

    def _settle(self, texts: list[str], direction: Direction) -> list[list[Span] | None]:
        spans: list[list[Span]] = [[] for _ in texts]
        pending = list(range(len(texts)))
        for _ in range(ROUNDS):
            redacted = [redact(texts[row], spans[row]) for row in pending]
            found = self._read([version.text for version in redacted], direction)
            for row, version, finds in zip(pending, redacted, found, strict=True):
                spans[row] = sorted([*spans[row], *(_original(version, span) for span in resolve(finds))])
            pending = [row for row, finds in zip(pending, found, strict=True) if finds]
            if not pending:
                break
        lost = set(pending)
        return [None if row in lost else found for row, found in enumerate(spans)]

    def _read(self, texts: list[str], direction: Direction) -> list[list[Find]]:
        """Finds of one look at each text, in all its readings, placeholders left out, in positions of the text."""
        read = [(row, reading) for row, text in enumerate(texts) for reading in readings(text)]
        found: list[list[Find]] = [[] for _ in texts]
        for (row, reading), finds in zip(read, self._analyse([reading.text for _, reading in read]), strict=True):
            for find in finds:
                if self._acted_on(find, direction):
                    start, end = reading.span(find.start, find.end)
                    found[row].append(replace(find, start=start, end=end))
        return [outside_placeholders(text, finds) if finds else [] for text, finds in zip(texts, found, strict=True)]

    def _acted_on(self, find: Find, direction: Direction) -> bool:
        rule = self.policy.entities[find.entity]
        return find.score >= rule.threshold_for(direction) and rule.action_for(direction) != "keep"

    def _analyse(self, texts: list[str]) -> Sequence[Sequence[Find]]:
        try:
            with self._lock:
                return self._analyser.analyse(texts)
        except Exception as error:  # noqa: BLE001 - whatever a recogniser raises, its text must not pass
            kind = type(error).__name__
        # Raised outside the handler: the original error may quote the text, and would ride along as context.
        raise ScrubError(f"a recogniser failed ({kind}), so the texts of this batch can't be passed on")


def require_strings(texts: Sequence[object]) -> None:
    """Refuse what is no text.

    Raises:
        ScrubError: names the position and the type.
    """
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ScrubError(f"text {position}: expected a string, found {type(text).__name__}")


def _checked(texts: Sequence[str]) -> list[str]:
    require_strings(texts)
    return [repair(text) for text in texts]


def _settled(spans: list[Span] | None) -> list[Span]:
    if spans is None:
        raise ScrubError(_NEVER)
    return spans


def _original(version: Redacted, span: Span) -> Span:
    start, end = version.origin(span.start, span.end)
    return Span(start, end, span.entity)


def _kept(version: Redacted, find: Find) -> Iterator[Span]:
    """The parts of a find that lie in kept text, in positions of the original; those with a letter or digit."""
    for here, there, length in version.pieces:
        start, end = max(find.start, here), min(find.end, here + length)
        if start < end and any(char.isalnum() for char in version.text[start:end]):
            yield Span(there + start - here, there + end - here, find.entity)


def _merged(spans: Sequence[Span]) -> list[Span]:
    """Disjoint spans over all of these; a value that grows keeps its name."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start < merged[-1].end:
            merged[-1] = replace(merged[-1], end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _within(part: Window, spans: list[Span]) -> list[Span]:
    """Spans over a window's context and text, as spans of its text."""
    start = len(part.context)
    return [replace(s, start=max(0, s.start - start), end=s.end - start) for s in spans if s.end > start]


def _joined(parts: Sequence[tuple[Window, list[Span] | None]]) -> list[Span] | None:
    """The spans of all windows of a text, in its positions."""
    joined: list[Span] = []
    position = 0
    for part, spans in parts:
        if spans is None:
            return None
        joined += [replace(s, start=position + s.start, end=position + s.end) for s in _within(part, spans)]
        position += len(part.text)
    return joined
