"""The recognisers of one policy over many texts: quiet, offline, in batches, each text read once.

Presidio's engine takes a text at a time through every recogniser, each of which looks at the whole text. Here one
glance (`Signs`) tells which rules can match at all, models read in batches, and a text seen before is remembered by
a keyed digest. The finds are those of `recognisers.engine`, text by text.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Sequence

from governance.privacy.overlaps import Find
from governance.privacy.policy import ScrubPolicy
from governance.privacy.quiet import light_import, silence
from governance.privacy.rules import all_finds
from governance.privacy.rules.signs import Signs

REMEMBERED = 10_000
"""Texts whose finds are kept, the latest used: shops send the same sentences again and again."""
_LONG = 2_000  # characters; a longer text is hardly ever seen twice


class Analyser:
    """Finds of one policy; not safe for use by two threads at once.

    Raises:
        ConfigError: a model that the policy names is not installed.
    """

    def __init__(self, policy: ScrubPolicy) -> None:
        policy.require_models()
        silence()
        with light_import():
            from governance.privacy.models import NameModels
            from governance.privacy.recognisers import finders

            self._models = (
                NameModels(policy.ner, policy.language, fast=policy.profile == "fast")
                if any(policy.ner.values())
                else None
            )
            self._finders = finders(policy)
        self._seen: OrderedDict[bytes, tuple[Find, ...]] = OrderedDict()
        self._secret = secrets.token_bytes(16)  # so that no digest of a text can be looked up elsewhere

    def analyse(self, texts: Sequence[str]) -> list[tuple[Find, ...]]:
        """Finds of any score, in each folded text, overlaps included, in order of place."""
        keys = [self._key(text) for text in texts]
        found: dict[bytes, tuple[Find, ...]] = {}
        new: dict[bytes, str] = {}
        for key, text in zip(keys, texts, strict=True):
            if key in self._seen:
                self._seen.move_to_end(key)
                found[key] = self._seen[key]
            else:
                new[key] = text
        found |= zip(new, self._read(list(new.values())), strict=True)
        self._remember(new, found)
        return [found[key] for key in keys]

    def _read(self, texts: list[str]) -> list[tuple[Find, ...]]:
        names: Sequence[Sequence[Find]] = self._models.read(texts) if self._models and texts else [()] * len(texts)
        return [self._finds(text, found) for text, found in zip(texts, names, strict=True)]

    def _finds(self, text: str, names: Sequence[Find]) -> tuple[Find, ...]:
        signs = Signs(text)
        finds = {*names, *all_finds(self._finders, signs)}
        return tuple(sorted(finds, key=lambda find: (find.start, find.end, find.entity, find.score, find.rank)))

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode(), digest_size=16, key=self._secret).digest()

    def _remember(self, new: dict[bytes, str], found: dict[bytes, tuple[Find, ...]]) -> None:
        for key, text in new.items():
            if len(text) <= _LONG:
                self._seen[key] = found[key]
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
