"""Recall, precision, leaks and false alarms of scrubbers on texts whose personal data is known to the character."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.heldout.corpus import Document, documents, shop_texts
from governance.privacy.entities import BY_LANGUAGE
from governance.statistics.intervals import wilson

Place = tuple[int, int, str]
Finder = Callable[[Sequence[str]], list[list[Place]]]
"""Texts -> (start, end, entity) of what is found in each."""

LANGUAGES, REGISTERS = ("en", "zh"), ("clean", "chat")


@dataclass(slots=True)
class Tally:
    """Counts of one system on one set of texts. A value is found if every letter and digit of it is covered."""

    values: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    finds: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    documents: int = 0
    leaks: int = 0
    shop: int = 0
    alarms: int = 0
    seconds: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.values + other.values, self.hits + other.hits, self.finds + other.finds, self.right + other.right,
            self.documents + other.documents, self.leaks + other.leaks, self.shop + other.shop,
            self.alarms + other.alarms, self.seconds + other.seconds,
        )  # fmt: skip

    def recall(self, *entities: str) -> float:
        """Share of values found; without entities: of all that have a format of their own."""
        chosen = entities or tuple(set(self.values) - BY_LANGUAGE)
        return sum(self.hits[one] for one in chosen) / max(1, sum(self.values[one] for one in chosen))

    def precision(self, *entities: str) -> float:
        """Share of finds that touch a value; without entities: of all but names and addresses."""
        chosen = entities or tuple(set(self.finds) - BY_LANGUAGE)
        return sum(self.right[one] for one in chosen) / max(1, sum(self.finds[one] for one in chosen))

    @property
    def leak(self) -> float:
        """Share of texts in which at least one letter or digit of a value is left."""
        return self.leaks / max(1, self.documents)

    @property
    def false_per_100(self) -> float:
        """Of 100 shop texts without personal data, those in which something is found."""
        return 100 * self.alarms / max(1, self.shop)


def score(find: Finder, texts: Sequence[Document], shop: Sequence[str] = ()) -> Tally:
    """Run a system over marked texts, and over texts without personal data."""
    tally = Tally(documents=len(texts), shop=len(shop))
    start = time.process_time()
    found = find([document.text for document in texts])
    tally.seconds = time.process_time() - start
    for document, places in zip(texts, found, strict=True):
        covered = {place for start, end, _ in places for place in range(start, end)}
        leaks = False
        for value in document.values:
            hit = all(i in covered or not document.text[i].isalnum() for i in range(value.start, value.end))
            tally.values[value.entity] += 1
            tally.hits[value.entity] += hit
            leaks |= not hit
        tally.leaks += leaks
        for first, last, entity in places:
            tally.finds[entity] += 1
            tally.right[entity] += any(first < value.end and value.start < last for value in document.values)
    tally.alarms = sum(map(bool, find(shop))) if shop else 0
    return tally


def measure(find: Finder, corpus: str, *, count: int, shop: int, seed: int) -> dict[tuple[str, str], Tally]:
    """(language, register) -> tally; shop texts are counted with the register "clean"."""
    tallies = {}
    for language in LANGUAGES:
        for register in REGISTERS:
            texts = documents(corpus, language, register, count=count, seed=seed)  # type: ignore[arg-type]
            clean = shop_texts(corpus, language, count=shop, seed=seed) if register == "clean" else ()  # type: ignore[arg-type]
            tallies[language, register] = score(find, texts, clean)
    return tallies


def entities_table(tallies: dict[tuple[str, str], Tally]) -> list[str]:
    """Recall per entity with 95% Wilson intervals, by language and register."""
    lines = [f"{'entity':18} " + " ".join(f"{language} {register:29}" for language, register in tallies)]
    rows: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for key, tally in tallies.items():
        for entity, n in tally.values.items():
            low, high = wilson(tally.hits[entity], n, 0.95)
            rows[entity][key] = f"{tally.recall(entity):.3f} [{low:.3f}, {high:.3f}] n={n}"
    for entity in sorted(rows, key=lambda one: (one not in BY_LANGUAGE, one)):
        lines.append(f"{entity:18} " + " ".join(f"{rows[entity].get(key, '-'):32}" for key in tallies))
    return lines
