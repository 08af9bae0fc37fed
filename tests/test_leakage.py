"""The measurement of the scrubber: with scrubbers whose truth is known, and with outputs planted by hand."""

from __future__ import annotations

import dataclasses
import hashlib
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
from governance.privacy.entities import BY_LANGUAGE, ENTITIES, STRUCTURED
from governance.privacy.madeup import MadeUp
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


def test_names_and_addresses_are_told_apart_from_data_with_a_format() -> None:
    """A scrubber that finds only what has a format has full structured recall, and leaks the rest all the same."""

    sentences = {language: read_sentences(language) for language in ("en", "zh")}  # type: ignore[arg-type]
    documents = [
        document
        for language, known in sentences.items()
        for document in plant(known, language, samples=5, seed=1)  # type: ignore[arg-type]
    ]
    planted = {document.text: document.values for document in documents}

    def formats_only(texts: Sequence[str]) -> list[list[Found]]:
        return [
            [Found(v.entity, v.start, v.end) for v in planted.get(text, ()) if v.entity not in BY_LANGUAGE]
            for text in texts
        ]

    outcomes = PersonalData(samples=5, languages=("en", "zh")).measure([], setting(formats_only))
    assert set(rates(outcomes, "scrubber.recall.structured").values()) == {1.0}
    for where, value in rates(outcomes, "scrubber.recall").items():
        assert value == (0.0 if any(entity in where for entity in BY_LANGUAGE) else 1.0)
    with_names = sum(any(value.entity in BY_LANGUAGE for value in document.values) for document in documents)
    leaks = [outcome for outcome in by_metric(outcomes, "scrubber.leak") if isinstance(outcome, Measurement)]
    assert sum(outcome.counts["count"] for outcome in leaks) == with_names


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
def test_every_planted_entity_stands_in_five_places_or_more(language: str) -> None:
    slots = re.findall(r"\{([A-Z_]+)", " ".join(read_sentences(language).planted))  # type: ignore[arg-type]
    assert min(slots.count(name) for name in set(slots)) >= 5


def test_a_couriers_number_is_a_shops_own_in_english_and_personal_in_chinese() -> None:
    assert "{TRACKING}" in " ".join(read_sentences("en").clean)
    chinese = read_sentences("zh")
    assert "{TRACKING}" not in " ".join(chinese.clean)
    assert "{TRACKING_NUMBER}" in " ".join(chinese.planted)


def planted_values(language: str, entity: str, samples: int = 60) -> list[str]:
    documents = plant(read_sentences(language), language, samples=samples, seed=5)  # type: ignore[arg-type]
    return [d.text[v.start : v.end] for d in documents for v in d.values if v.entity == entity]


def test_chinese_names_have_two_to_four_characters() -> None:
    whole = [name for name in planted_values("zh", "PERSON", 100) if len(name) > 1]  # a surname alone is one
    assert {len(name) for name in whole} == {2, 3, 4}


FORMATS = {
    "CN_PASSPORT": r"E[A-HJ-NP-Z]\d{7}|[EG]\d{8}",
    "CN_TRAVEL_PERMIT": r"[HM]\d{8}|\d{8}|C[A-HJ-NP-Z0-9]\d{7}",
    "CN_LICENSE_PLATE": r"[\u4e00-\u9fff][A-HJ-NP-Z]·?(?:[A-HJ-NP-Z0-9]{5}|[DF][A-HJ-NP-Z0-9]\d{4}|\d{5}[DF])",
    "CN_COMPANY_ID": r"9[1-3]\d{6}[0-9A-H]{8}[0-9X][0-9A-HJ-NPQRTUWXY]",
    "TRACKING_NUMBER": r"(?:SF|YT|JD|JT)\d{13}|(?:78|9\d)\d{11,12}|43\d{11}|E[A-Z]\d{9}CN",
    "MAC_ADDRESS": r"(?i:[0-9a-f]{2}(?:[:-][0-9a-f]{2}){5})",
    "ALIPAY_ID": r"2088\d{12}|1\d{10}|\S+@\S+",
}


@pytest.mark.parametrize("entity", FORMATS)
def test_made_up_values_have_their_format(entity: str) -> None:
    found = planted_values("zh", entity)
    assert [value for value in found if not re.fullmatch(FORMATS[entity], value)] == []
    assert len(set(found)) > 50


def test_national_insurance_numbers_have_prefixes_that_are_issued() -> None:
    found = {value.replace(" ", "") for value in planted_values("en", "UK_NINO")}
    pattern = r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]"
    assert [value for value in found if not re.fullmatch(pattern, value)] == []


def test_company_codes_check_modulo_31_and_so_does_the_standards_own() -> None:
    alphabet, weights = (
        "0123456789ABCDEFGHJKLMNPQRTUWXY",
        [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28],
    )

    def holds(code: str) -> bool:
        total = sum(weight * alphabet.index(char) for weight, char in zip(weights, code, strict=False))
        return alphabet[(31 - total % 31) % 31] == code[17]

    assert holds("91350100M000100Y43")  # the example of GB 32100-2015
    assert all(map(holds, planted_values("zh", "CN_COMPANY_ID")))


def test_wallets_carry_a_checksum_that_holds() -> None:
    """Base58Check from its definition; Bech32 by the polynomial of BIP 173, which an address must leave at one."""
    base58, bech32 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

    def polymod(values: list[int]) -> int:
        check = 1
        for value in values:
            top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
            for bit, term in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
                check ^= term * (top >> bit & 1)
        return check

    assert (
        polymod([3, 3, 0, 2, 3, *(bech32.index(c) for c in "qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")]) == 1
    )  # BIP 173
    found = planted_values("en", "CRYPTO")
    kinds = {"0x": 0, "bc": 0, "1": 0, "3": 0, "T": 0}
    for wallet in found:
        if wallet.startswith("0x"):
            kinds["0x"] += 1
            assert re.fullmatch(r"0x[0-9a-f]{40}", wallet)
        elif wallet.startswith("bc"):
            kinds["bc"] += 1
            assert polymod([3, 3, 0, 2, 3, *(bech32.index(char) for char in wallet[3:])]) == 1
        else:
            kinds[wallet[0]] += 1
            number = 0
            for char in wallet:
                number = number * 58 + base58.index(char)
            whole = number.to_bytes(25)
            assert hashlib.sha256(hashlib.sha256(whole[:21]).digest()).digest()[:4] == whole[21:]
    assert min(kinds.values()) > 0


def test_a_permit_without_a_kind_is_any_of_them() -> None:
    import random

    sentences = Sentences(planted=("{CN_TRAVEL_PERMIT}",), clean=("x",), styles=("a",))
    heads = {document.text[0] for document in plant(sentences, "zh", samples=80, seed=0)}
    assert heads >= {"H", "M", "C"} and heads & set("0123456789")
    assert MadeUp(random.Random(1)).travel_permit("taiwan").isdigit()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shop_texts_fill_every_slot(language: str) -> None:
    texts = shop_texts(read_sentences(language), language, samples=60, seed=0)  # type: ignore[arg-type]
    assert len(texts) == 60
    assert not any("{" in text for text in texts)


@pytest.mark.parametrize(
    ("planted", "clean", "message"),
    [
        (("Hi {PERSONS}",), ("x",), "no slot 'PERSONS'. Did you mean 'PERSON'"),
        (("Hi {PERSON|small}",), ("x",), "PERSON has no form 'small'"),
        (("Hi {URL|first}",), ("x",), "URL has no form 'first'"),
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
    with pytest.raises(ConfigError, match="reread: expected at least 1"):
        PersonalData(reread=0)
    with pytest.raises(ConfigError, match="no 'cn'"):
        PersonalData(languages=("cn",))


def test_failing_scrubber_yields_no_figure() -> None:
    def fail(texts: Sequence[str]) -> list[list[Found]]:
        raise ScrubError("a recogniser failed")

    with pytest.raises(ScrubError, match="a recogniser failed"):
        PersonalData(samples=1, languages=("en", "zh")).measure([], setting(fail))


# -- scrubbed texts, read again ---------------------------------------------------------------


def residual(find: Finder, reread: int, n: int = 8) -> Outcome:
    [found] = by_metric(PersonalData(reread=reread, languages=()).measure([], setting(find, n)), "scrubber.residual")
    return found


def first_row_only(texts: Sequence[str]) -> list[list[Found]]:
    return [[Found("PERSON", 0, 3)] if text == "row 0" else [] for text in texts]


def test_all_scrubbed_texts_are_read_again_and_the_share_is_exact() -> None:
    """Eight training and eight held-out texts, one of each still holding a find."""
    found = residual(first_row_only, reread=16)
    assert isinstance(found, Fact)
    assert (found.value, found.model) == (2 / 16, None)
    assert "all 16 texts were read" in found.method
    assert residual(blind, reread=16).value == 0  # type: ignore[union-attr]


def test_no_scrubbed_texts_are_no_free_pass() -> None:
    assert isinstance(residual(blind, reread=5, n=0), NotMeasured)


def test_a_sample_of_scrubbed_texts_has_an_interval() -> None:
    found = residual(blind, reread=15)
    assert isinstance(found, Measurement)
    assert (found.value, found.n) == (0.0, 15)
    assert found.high is not None
    assert found.high > 0  # fifteen texts prove little
    assert "15 of 16 texts" in found.method
    assert residual(blind, reread=15) == found
    sampled = [residual(first_row_only, reread=8, n=n) for n in (8, 9, 10, 11)]
    assert len({outcome.value for outcome in sampled if isinstance(outcome, Measurement)}) > 1


def test_every_method_is_told_in_chinese() -> None:
    from reports.text import Texts

    outcomes = PersonalData(samples=1, languages=("en", "zh")).measure([], setting(all_seeing))
    outcomes += [residual(blind, reread=15)]  # type: ignore[operator]
    methods = {outcome.method for outcome in outcomes if not isinstance(outcome, NotMeasured)}
    assert [method for method in sorted(methods) if Texts("zh").said(method) == method] == []


# -- outputs -----------------------------------------------------------------------------------


def outputs_of(one: Subject, find: Finder = blind) -> dict[str, Outcome]:
    evaluator = PersonalData(samples=1, languages=())
    outcomes = evaluator.measure([one], setting(find))
    return {outcome.metric: outcome for outcome in outcomes if outcome.metric.startswith("leakage.")}


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
def test_the_default_policy_keeps_its_word_in_both_languages() -> None:
    """On sentences that were in sight when its rules were written: a floor under changes, no estimate for others."""
    from governance.privacy.policy import load_policy
    from governance.privacy.scrubber import Scrubber

    scrubber = Scrubber(load_policy("default"))

    def find(texts: Sequence[str]) -> list[list[Found]]:
        return [[Found(span.entity, span.start, span.end) for span in spans] for spans in scrubber.find(texts)]

    english = plant(read_sentences("en"), "en", samples=10, seed=2)
    chinese = plant(read_sentences("zh"), "zh", samples=10, seed=2)
    documents = [document.text for document in english + chinese]
    scrubbed = tuple(found.text for found in scrubber.scrub_many(documents, "train"))
    rows = dataclasses.replace(_rows(len(scrubbed)), texts=scrubbed)
    measured = dataclasses.replace(setting(find), train=rows, test=rows)
    outcomes = PersonalData(samples=30, languages=("en", "zh"), reread=10_000).measure([], measured)
    assert min(rates(outcomes, "scrubber.recall.structured").values()) > 0.95
    recall = rates(outcomes, "scrubber.recall")
    by_language = [value for where, value in recall.items() if any(entity in where for entity in BY_LANGUAGE)]
    assert len(by_language) == 4 and min(by_language) > 0.85
    assert max(rates(outcomes, "scrubber.leak").values()) < 0.15
    assert max(rates(outcomes, "scrubber.false_per_100").values()) < 5
    [residue] = by_metric(outcomes, "scrubber.residual")
    assert isinstance(residue, Fact)
    assert residue.value == 0


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_choice_the_sentences_speak_the_language_of_the_data(language: str) -> None:
    outcomes = PersonalData(samples=1).measure([], dataclasses.replace(setting(blind), language=language))
    spoken = {dict(o.slice)["language"] for o in outcomes if "language" in dict(o.slice)}
    assert spoken == {language}
