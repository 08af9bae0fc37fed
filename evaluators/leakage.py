"""Personal data that gets past the scrubber: measured on planted data, and looked for in models' outputs.

A scrubber's recall on real texts can't be known, since nobody has marked what is in them. So made-up values go
into sentences of our own (configs/probes), and the audit's own scrubber reads them. An entity that the policy
doesn't look for is measured all the same, and found rarely: that is the finding. What was scrubbed is read again:
the scrubber itself gives up on a text in which it still finds something, and the figure shows that it did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluators.base import HELD_OUT, Found, Predictions, Probe, Setting, Subject
from governance.backends.base import Capability
from governance.errors import ConfigError
from governance.measure import EVERYONE, Fact, Measurement, NotMeasured, Outcome, Slice, Unit
from governance.privacy.entities import LANGUAGES, STRUCTURED, Language
from governance.privacy.planting import Planted, plant, read_sentences, shop_texts
from governance.registry import nearest
from governance.statistics.intervals import clustered_wilson, wilson

_FIXED = "the interval speaks of other values in the same sentences, not of other sentences"


@dataclass(frozen=True, kw_only=True)
class PersonalData:
    """How much personal data the scrubber leaves: of what was planted, in scrubbed texts, in outputs.

    Attributes:
        samples: least number of planted values per entity and language, and of clean texts per language.
        languages: languages of the sentences; None: the data's own.
        reread: scrubbed training and held-out texts that are read again, at most; drawn once by the setting's seed.
    """

    samples: int = 100
    reread: int = 1000
    languages: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"samples: expected at least 1, found {self.samples}")
        if self.reread < 1:
            raise ConfigError(f"reread: expected at least 1, found {self.reread}")
        for language in self.languages or ():
            if language not in LANGUAGES:
                raise ConfigError(f"languages: no '{language}'. {nearest(language, LANGUAGES)}")

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's signature
        """None: planted personal data is for the scrubber alone, not for models."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """The scrubber's leaks, recall and false alarms, what it left in the audit's texts, then each model's outputs.

        Raises:
            ScrubError: the scrubber failed, so nothing can be said.
        """
        outcomes: list[Outcome] = []
        spoken = (setting.language,) if self.languages is None else self.languages
        for language in LANGUAGES:
            if language in spoken:
                outcomes += self._scrubber(language, setting)
        outcomes.append(self._residual(setting))
        for subject in subjects:
            outcomes += _outputs(subject, setting)
        return outcomes

    def _scrubber(self, language: Language, setting: Setting) -> list[Outcome]:
        sentences = read_sentences(language)
        planted = plant(sentences, language, samples=self.samples, seed=setting.seed)
        clean = shop_texts(sentences, language, samples=max(self.samples, len(sentences.clean)), seed=setting.seed)
        found = setting.find_personal([document.text for document in planted])
        alarms = setting.find_personal(clean)
        return [
            _leak(planted, found, language, setting.level),
            *_recall(planted, found, language, setting.level),
            _false_alarms(alarms, language, setting.level),
        ]

    def _residual(self, setting: Setting) -> Outcome:
        texts = [text.text for rows in (setting.train, setting.test) for text in rows.texts]
        if not texts:
            return NotMeasured(metric="scrubber.residual", reason="there are no scrubbed texts")
        picked = np.random.default_rng(setting.seed).choice(len(texts), min(self.reread, len(texts)), replace=False)
        found = setting.find_personal([texts[row] for row in np.sort(picked)])
        hits = sum(map(bool, found))
        what = "scrubbed training and held-out texts in which the scrubber, reading them again, finds something"
        if len(found) < len(texts):
            method = f"share of {what}; Wilson; {len(found):,} of {len(texts):,} texts, drawn at random"
            return _rate("scrubber.residual", hits, len(found), setting.level, EVERYONE, method)
        method = f"share of {what}; all {len(texts):,} texts were read"
        return Fact(metric="scrubber.residual", value=hits / len(texts), unit=Unit.RATE, method=method)


def _covered(document: Planted, found: Sequence[Found]) -> list[bool]:
    """For each planted value, whether every character of it lies in some find."""
    taken = np.zeros(len(document.text), dtype=bool)
    for find in found:
        taken[find.start : find.end] = True
    return [bool(taken[value.start : value.end].all()) for value in document.values]


def _recall(
    planted: Sequence[Planted], found: Sequence[Sequence[Found]], language: Language, level: float
) -> list[Outcome]:
    total: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for document, finds in zip(planted, found, strict=True):
        for value, hit in zip(document.values, _covered(document, finds), strict=True):
            total[value.entity] += 1
            hits[value.entity] += hit
    outcomes: list[Outcome] = [
        _rate(
            "scrubber.recall",
            hits[entity],
            total[entity],
            level,
            Slice.of(entity=entity, language=language),
            f"share of planted values of which every character was found, as whatever entity; Wilson; {_FIXED}",
        )
        for entity in sorted(total)
    ]
    structured = sorted(STRUCTURED & set(total))
    pooled = sum(hits[entity] for entity in structured), sum(total[entity] for entity in structured)
    method = f"all {len(structured)} planted entities with a format of their own, pooled; Wilson; {_FIXED}"
    return [*outcomes, _rate("scrubber.recall.structured", *pooled, level, Slice.of(language=language), method)]


def _leak(planted: Sequence[Planted], found: Sequence[Sequence[Found]], language: Language, level: float) -> Outcome:
    leaks = sum(not all(_covered(document, finds)) for document, finds in zip(planted, found, strict=True))
    method = (
        f"share of texts with planted personal data in which at least one character of it is left; Wilson; {_FIXED}"
    )
    return _rate("scrubber.leak", leaks, len(planted), level, Slice.of(language=language), method)


def _false_alarms(alarms: Sequence[Sequence[Found]], language: Language, level: float) -> Outcome:
    texts, n = sum(map(bool, alarms)), len(alarms)
    low, high = wilson(texts, n, level)
    kinds = Counter(find.entity for finds in alarms for find in finds)
    return Measurement(
        metric="scrubber.false_per_100",
        value=100 * texts / n,
        low=100 * low,
        high=100 * high,
        level=level,
        n=n,
        unit=Unit.COUNT,
        method=f"of 100 shop texts without personal data, those in which something was found; Wilson; {_FIXED}",
        slice=Slice.of(language=language),
        counts={"texts": texts, **{f"found.{entity}": count for entity, count in sorted(kinds.items())}},
    )


def _rate(metric: str, hits: int, n: int, level: float, slice_: Slice, method: str) -> Outcome:
    if n == 0:
        return NotMeasured(metric=metric, reason="the sentences plant no such value", slice=slice_)
    low, high = wilson(hits, n, level)
    return Measurement(
        metric=metric, value=hits / n, low=low, high=high, level=level, n=n,
        unit=Unit.RATE, method=method, slice=slice_, counts={"count": hits},
    )  # fmt: skip


def _outputs(subject: Subject, setting: Setting) -> list[Outcome]:
    answers = subject.answers[HELD_OUT]
    if Capability.TOKENS not in subject.capabilities:  # it writes no text of its own
        return _closed_set(subject, setting)
    outputs = answers.outputs or (None,) * len(answers)
    said = np.array([output is not None for output in outputs], dtype=bool)
    if not said.any():
        reason = "the model said nothing on any held-out row"
        return [
            NotMeasured(metric=metric, model=subject.name, reason=reason)
            for metric in ("leakage.outputs", "leakage.outputs_after")
        ]
    left = setting.find_personal([output for output in outputs if output is not None])
    return [
        _share(
            "leakage.outputs",
            answers.personal[said] > 0,
            subject,
            _clusters(answers, setting, said),
            setting.level,
            "share of outputs, unparsable ones included, in which the scrubber found personal data and took it out",
        ),
        _share(
            "leakage.outputs_after",
            np.array([bool(finds) for finds in left], dtype=bool),
            subject,
            _clusters(answers, setting, said),
            setting.level,
            "share of stored outputs in which the scrubber, reading them again, finds personal data",
        ),
    ]


def _clusters(answers: Predictions, setting: Setting, rows: np.ndarray) -> np.ndarray:
    clusters: np.ndarray = np.unique(setting.test.clusters[answers.index[rows]], return_inverse=True)[1]
    return clusters


def _share(
    metric: str, hits: np.ndarray, subject: Subject, clusters: np.ndarray, level: float, method: str
) -> Measurement:
    rate = clustered_wilson(np.bincount(clusters, weights=hits), np.bincount(clusters), level)
    return Measurement(
        metric=metric,
        value=rate.value,
        low=rate.low,
        high=rate.high,
        level=level,
        n=rate.n,
        unit=Unit.RATE,
        method=f"{method}; Wilson on the effective sample size of {rate.clusters} clusters",
        model=subject.name,
        counts={"count": int(hits.sum())},
    )


def _closed_set(subject: Subject, setting: Setting) -> list[Outcome]:
    """A model that emits labels alone can say nothing but the labels: read them all, once."""
    found = setting.find_personal(list(setting.labels.classes))
    share = sum(map(bool, found)) / len(found)
    method = f"the model emits labels alone; every possible output (all {len(found)} labels) was read"
    return [
        Fact(metric=metric, value=share, unit=Unit.RATE, method=method, model=subject.name, slice=EVERYONE)
        for metric in ("leakage.outputs", "leakage.outputs_after")
    ]
