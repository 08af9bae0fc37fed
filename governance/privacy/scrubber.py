"""The scrubber: raw text in, sealed text out, nothing kept of what it took out.

It reads its own result again until it finds nothing more, so a scrubbed text scrubbed again is the same
text, and no text passes that its own recognisers would flag. What it can't vouch for is an error, except for
one text among those for training, which becomes `[UNREADABLE]` as a whole.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from governance.dataset import ScrubbedText
from governance.errors import ScrubError
from governance.privacy.normalise import Folded, fold, language_of, repair
from governance.privacy.overlaps import (
    PLACEHOLDER,
    UNREADABLE,
    Find,
    Redacted,
    Span,
    outside_placeholders,
    redact,
    resolve,
)
from governance.privacy.policy import LANGUAGES, Language, ScrubPolicy

Direction = Literal["train", "prompt", "output"]
"""Where a text is going: into training, to a model as a prompt, or out of a model. They differ only in what happens
to a text that never settles."""

ROUNDS = 50
"""Readings after which a text that still yields something new is given up. Each takes out at least one character."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """One scrubbed text, and how many pieces of each entity were taken out of it."""

    text: ScrubbedText
    counts: Mapping[str, int]


class Scrubber:
    """Finds and replaces personal data by one policy. Threads may share one: they take turns.

    Args:
        policy: what to look for.

    Raises:
        ConfigError: a model that the policy names is not installed.
    """

    def __init__(self, policy: ScrubPolicy) -> None:
        # Loading takes seconds: policies and spans are useful without it.
        from governance.privacy.analyser import Analyser

        self.policy = policy
        self._analyser = Analyser(policy)
        self._lock = threading.Lock()

    @property
    def not_covered(self) -> Mapping[Language, tuple[str, ...]]:
        """Language -> what is left in texts of that language, in words for reports."""
        return self.policy.not_covered

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
        for text, spans in zip(unique, self._spans(unique), strict=True):
            if spans is None and direction == "train":
                done[text] = Scrubbed(ScrubbedText(f"[{UNREADABLE}]"), {UNREADABLE: 1})
                continue
            settled = _settled(spans)
            counts = dict(Counter(span.entity for span in settled))
            done[text] = Scrubbed(ScrubbedText(redact(text, settled).text), counts)
        return [done[text] for text in clean]

    def scrub_one(self, text: str, direction: Direction) -> tuple[str, dict[str, int]]:
        """Scrub one text: its redacted form, and entity -> pieces taken out. Raises as `scrub_many`."""
        [scrubbed] = self.scrub_many([text], direction)
        return scrubbed.text.text, dict(scrubbed.counts)

    def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What `scrub_many` would replace, one list of disjoint spans per text, in order.

        Raises as `scrub_many` on its strict side: a text that never settles is an error.
        Positions are those of the text given, unless it held broken surrogate pairs.
        """
        return [_settled(spans) for spans in self._spans(_checked(texts))]

    def _spans(self, texts: list[str]) -> list[list[Span] | None]:
        """Spans of each text; None: it never settles."""
        spans: list[list[Span]] = [[] for _ in texts]
        pending = list(range(len(texts)))
        for _ in range(ROUNDS):
            redacted = [redact(texts[row], spans[row]) for row in pending]
            found = self._read([version.text for version in redacted])
            for row, version, finds in zip(pending, redacted, found, strict=True):
                spans[row] = sorted([*spans[row], *(_original(version, span) for span in resolve(finds))])
            pending = [row for row, finds in zip(pending, found, strict=True) if finds]
            if not pending:
                break
        lost = set(pending)
        return [None if row in lost else found for row, found in enumerate(spans)]

    def _read(self, texts: list[str]) -> list[list[Find]]:
        """Finds of one reading, placeholders left out, in positions of each text."""
        folded = [fold(text) for text in texts]
        found: list[list[Find]] = [[] for _ in texts]
        spoken = [self._language(text) for text in texts]
        for language in LANGUAGES:
            rows = [row for row, spoke in enumerate(spoken) if spoke == language]
            results = self._analyse([folded[row].text for row in rows], language) if rows else []
            for row, finds in zip(rows, results, strict=True):
                mapped = (_unfolded(folded[row], find) for find in finds)
                found[row] = outside_placeholders(texts[row], mapped) if finds else []
        return found

    def _language(self, text: str) -> Language:
        # Placeholders are Latin letters: they must not turn a Chinese text into an English one.
        return language_of(PLACEHOLDER.sub("", text)) if self.policy.language == "auto" else self.policy.language

    def _analyse(self, texts: list[str], language: Language) -> list[list[Find]]:
        try:
            with self._lock:
                return self._analyser.analyse(texts, language)
        except Exception as error:  # noqa: BLE001 - whatever a recogniser raises, its text must not pass
            kind = type(error).__name__
        # Raised outside the handler: the original error may quote the text, and would ride along as context.
        raise ScrubError(f"a recogniser failed ({kind}), so the texts of this batch can't be passed on")


def _checked(texts: Sequence[str]) -> list[str]:
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ScrubError(f"text {position}: expected a string, found {type(text).__name__}")
    return [repair(text) for text in texts]


def _settled(spans: list[Span] | None) -> list[Span]:
    if spans is None:
        raise ScrubError(f"a text still yields new personal data after {ROUNDS} readings, so it can't be passed on")
    return spans


def _unfolded(folded: Folded, find: Find) -> Find:
    start, end = folded.span(find.start, find.end)
    return Find(find.entity, start, end, find.score)


def _original(version: Redacted, span: Span) -> Span:
    start, end = version.origin(span.start, span.end)
    return Span(start, end, span.entity)
