"""The measurement of the scrubber: with scrubbers whose truth is known, and with outputs planted by hand."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from pydantic import ValidationError

from evaluators.base import HELD_OUT, Found, Predictions, Setting, Subject
from evaluators.leakage import PersonalData
from governance.backends.base import Capability
from governance.dataset import Labels, ScrubbedDataset, ScrubbedText
from governance.errors import ConfigError, ScrubError
from governance.measure import Fact, Measurement, NotMeasured, Outcome, Unit
from governance.privacy.entities import ENTITIES, STRUCTURED
from governance.privacy.planting import Sentences, plant, read_sentences, shop_texts

Finder = Callable[[Sequence[str]], Sequence[Sequence[Found]]]


def blind(texts: Sequence[str]) -> list[list[Found]]:
    return [[] for _ in texts]


def all_seeing(texts: Sequence[str]) -> list[list[Found]]:
    return [[Found("URL", 0, len(text))] for text in texts]


def addresses_only(texts: Sequence[str]) -> list[list[Found]]:
    """Finds e-mail addresses, but always misses their last character."""
    pattern = re.compile(r"[\w.+-]+@[\w.-]+\w")
    return [[Found("EMAIL_ADDRESS", m.start(), m.end() - 1) for m in pattern.finditer(text)] for text in texts]


def setting(find: Finder, n: int = 8) -> Setting:
    rows = _rows(n)
    return Setting(labels=Labels(("no", "yes"), "yes"), train=rows, test=rows, find_personal=find, seed=1)


def _rows(n: int) -> ScrubbedDataset:
    return ScrubbedDataset(
        rows=np.arange(n),
        texts=tuple(ScrubbedText(f"row {i}") for i in range(n)),
        labels=("yes",) * n,
        groups={},
        clusters=np.arange(n) // 2,
    )


def subject(outputs: tuple[str | None, ...] | None, personal: Sequence[int] | None = None, n: int = 8) -> Subject:
    n = len(outputs) if outputs is not None else n
    predictions = Predictions(
        index=np.arange(n),
        labels=("yes",) * n,
        scores=None,
        failures=(None,) * n,
        seconds=np.zeros(n),
        tokens_in=None,
        tokens_out=None,
        outputs=outputs,
        personal=np.array(personal if personal is not None else [0] * n, dtype=np.int64),
    )
    can = {Capability.CLASSIFY} if outputs is None else {Capability.CLASSIFY, Capability.TOKENS}
    return Subject("m", frozenset(can), {HELD_OUT: predictions}, trained=False)


def by_metric(outcomes: Sequence[Outcome], metric: str) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.metric == metric]


def rates(outcomes: Sequence[Outcome], metric: str) -> dict[str, float]:
    found = by_metric(outcomes, metric)
    assert all(isinstance(outcome, Measurement) for outcome in found)
    return {outcome.slice.label(): outcome.value for outcome in found if isinstance(outcome, Measurement)}


def test_all_seeing_scrubber_has_full_recall_and_alarms_at_everything() -> None:
    outcomes = PersonalData(samples=5, languages=("en", "zh")).measure([], setting(all_seeing))
    assert set(rates(outcomes, "scrubber.recall").values()) == {1.0}
    assert set(rates(outcomes, "scrubber.leak").values()) == {0.0}
    assert rates(outcomes, "scrubber.false_per_100") == {"language=en": 100.0, "language=zh": 100.0}


def test_blind_scrubber_leaks_everything_and_says_so_for_each_entity() -> None:
    outcomes = PersonalData(samples=5, languages=("en", "zh")).measure([], setting(blind))
    assert set(rates(outcomes, "scrubber.recall").values()) == {0.0}
    assert set(rates(outcomes, "scrubber.recall.structured").values()) == {0.0}
    assert set(rates(outcomes, "scrubber.leak").values()) == {1.0}
    assert rates(outcomes, "scrubber.false_per_100") == {"language=en": 0.0, "language=zh": 0.0}


def test_value_that_keeps_one_character_counts_as_missed() -> None:
    outcomes = PersonalData(samples=5, languages=("en", "zh")).measure([], setting(addresses_only))
    assert rates(outcomes, "scrubber.recall")["entity=EMAIL_ADDRESS, language=en"] == 0.0


def test_every_entity_is_measured_in_one_language_at_least() -> None:
    outcomes = PersonalData(samples=3, languages=("en", "zh")).measure([], setting(blind))
    measured = {dict(outcome.slice)["entity"] for outcome in by_metric(outcomes, "scrubber.recall")}
    assert measured == set(ENTITIES)


def test_pooled_recall_adds_up_and_has_a_true_interval() -> None:
    outcomes = PersonalData(samples=10, languages=("en",)).measure([], setting(all_seeing))
    [pooled] = by_metric(outcomes, "scrubber.recall.structured")
    single = [o for o in by_metric(outcomes, "scrubber.recall") if dict(o.slice)["entity"] in STRUCTURED]
    assert isinstance(pooled, Measurement)
    assert pooled.n == sum(outcome.n for outcome in single if isinstance(outcome, Measurement))
    assert pooled.low is not None
    assert 0.9 < pooled.low < 1.0 == pooled.high
    assert all(outcome.n >= 10 for outcome in single if isinstance(outcome, Measurement))
    assert all(outcome.model is None for outcome in outcomes)


def test_same_seed_same_outcomes_and_another_seed_other_values() -> None:
    sentences = read_sentences("en")
    assert plant(sentences, "en", samples=4, seed=1) == plant(sentences, "en", samples=4, seed=1)
    assert plant(sentences, "en", samples=4, seed=1) != plant(sentences, "en", samples=4, seed=2)
    assert shop_texts(sentences, "en", samples=40, seed=1) == shop_texts(sentences, "en", samples=40, seed=1)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_spans_point_at_their_values(language: str) -> None:
    sentences = read_sentences(language)  # type: ignore[arg-type]
    for document in plant(sentences, language, samples=6, seed=0):  # type: ignore[arg-type]
        assert "{" not in document.text
        for value in document.values:
            text = document.text[value.start : value.end]
            assert text.strip() == text != ""
            if value.entity == "EMAIL_ADDRESS":
                assert "@" in text
            if value.entity == "CN_RESIDENT_ID":
                assert len(text) == 18


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shop_texts_fill_every_slot(language: str) -> None:
    texts = shop_texts(read_sentences(language), language, samples=60, seed=0)  # type: ignore[arg-type]
    assert len(texts) == 60
    assert not any("{" in text for text in texts)


@pytest.mark.parametrize(
    ("planted", "clean", "message"),
    [
        (("Hi {PERSONS}",), ("x",), "no slot 'PERSONS'. Did you mean 'PERSON'"),
        (("Hi {PERSON|small}",), ("x",), "no form 'small'"),
        (("Hi",), ("x",), "expected at least one slot"),
        (("Hi {PERSON}",), ("to {PERSON}",), "no slot 'PERSON'"),
    ],
)
def test_bad_sentences_are_refused(planted: tuple[str, ...], clean: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message).replace(r"\ ", " ")):
        Sentences(planted=planted, clean=clean, styles=("a",))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="samples: expected at least 1"):
        PersonalData(samples=0)
    with pytest.raises(ConfigError, match="no 'cn'"):
        PersonalData(languages=("cn",))


def test_failing_scrubber_yields_no_figure() -> None:
    def fail(texts: Sequence[str]) -> list[list[Found]]:
        raise ScrubError("a recogniser failed")

    with pytest.raises(ScrubError, match="a recogniser failed"):
        PersonalData(samples=1, languages=("en", "zh")).measure([], setting(fail))


# -- outputs -----------------------------------------------------------------------------------


def outputs_of(one: Subject, find: Finder = blind) -> dict[str, Outcome]:
    evaluator = PersonalData(samples=1, languages=())
    return {outcome.metric: outcome for outcome in evaluator.measure([one], setting(find))}


def test_labels_alone_are_read_and_are_a_fact() -> None:
    outcomes = outputs_of(subject(None))
    assert isinstance(outcomes["leakage.outputs"], Fact)
    assert outcomes["leakage.outputs"].value == 0
    assert "all 2 labels" in outcomes["leakage.outputs"].method


def test_label_that_is_personal_data_is_no_free_pass() -> None:
    outcomes = outputs_of(subject(None), lambda texts: [[Found("PERSON", 0, 2)] if t == "no" else [] for t in texts])
    assert isinstance(outcomes["leakage.outputs"], Fact)
    assert outcomes["leakage.outputs"].value == 0.5


def test_share_of_outputs_with_personal_data_unparsable_ones_included() -> None:
    outcomes = outputs_of(subject(("yes", "call [PHONE_NUMBER]", None, "no"), [0, 1, 0, 0]))
    before, after = outcomes["leakage.outputs"], outcomes["leakage.outputs_after"]
    assert isinstance(before, Measurement)
    assert isinstance(after, Measurement)
    assert (before.value, before.n, before.model, before.unit) == (pytest.approx(1 / 3), 3, "m", Unit.RATE)
    assert before.low is not None
    assert before.high is not None
    assert before.low < before.value < before.high
    assert after.value == 0.0
    assert after.high is not None
    assert after.high > 0  # three rows prove little


def test_stored_output_that_still_holds_personal_data_is_seen() -> None:
    outcomes = outputs_of(subject(("yes", "me@x.org")), addresses_only)
    after = outcomes["leakage.outputs_after"]
    assert isinstance(after, Measurement)
    assert after.value == 0.5


def test_silent_model_is_not_measured() -> None:
    outcomes = outputs_of(subject((None, None)))
    assert isinstance(outcomes["leakage.outputs"], NotMeasured)
    assert isinstance(outcomes["leakage.outputs_after"], NotMeasured)


def test_an_endpoint_that_never_answered_is_no_free_pass() -> None:
    """All its outputs are absent, as a labels-only model's are; but it would have written text of its own."""
    one = dataclasses.replace(subject(None), capabilities=frozenset({Capability.CLASSIFY, Capability.TOKENS}))
    assert all(isinstance(outcome, NotMeasured) for outcome in outputs_of(one).values())


def test_rows_of_one_cluster_widen_the_interval() -> None:
    said = tuple(["yes"] * 8)
    clustered = outputs_of(subject(said, [1, 1, 0, 0, 1, 1, 0, 0]))["leakage.outputs"]
    spread = outputs_of(subject(said, [1, 0, 1, 0, 1, 0, 1, 0]))["leakage.outputs"]
    assert isinstance(clustered, Measurement)
    assert isinstance(spread, Measurement)
    assert clustered.value == spread.value == 0.5
    assert clustered.low is not None
    assert spread.low is not None
    assert clustered.low < spread.low


def test_it_asks_models_nothing() -> None:
    assert PersonalData().probes(setting(blind)) == ()


@pytest.mark.slow
def test_the_default_policy_finds_structured_data_and_leaves_chinese_names() -> None:
    from governance.privacy.policy import load_policy
    from governance.privacy.scrubber import Scrubber

    scrubber = Scrubber(load_policy("default"))

    def find(texts: Sequence[str]) -> list[list[Found]]:
        return [[Found(span.entity, span.start, span.end) for span in spans] for spans in scrubber.find(texts)]

    outcomes = PersonalData(samples=30, languages=("en", "zh")).measure([], setting(find))
    structured = rates(outcomes, "scrubber.recall.structured")
    assert min(structured.values()) > 0.95
    recall = rates(outcomes, "scrubber.recall")
    assert recall["entity=PERSON, language=en"] > 0.8
    assert recall["entity=PERSON, language=zh"] < 0.1  # not covered, and the figure says so
    assert rates(outcomes, "scrubber.leak")["language=zh"] > 0.2


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_choice_the_sentences_speak_the_language_of_the_data(language: str) -> None:
    outcomes = PersonalData(samples=1).measure([], dataclasses.replace(setting(blind), language=language))
    spoken = {dict(o.slice)["language"] for o in outcomes if "language" in dict(o.slice)}
    assert spoken == {language}
