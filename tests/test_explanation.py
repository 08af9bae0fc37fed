"""Words that a model goes by: read once, counted, and placeholders told from ordinary words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from evaluators.claim import Claim
from evaluators.explanation import WordWeights
from governance.backends.base import Answer, Capability, WordWeight
from governance.claims import PrivacyClaim
from governance.dataset import Labels, ModelText, ScrubbedDataset
from governance.measure import Fact, NotMeasured, Slice, Unit

EMPTY = ScrubbedDataset(rows=np.arange(0), texts=(), labels=(), groups={}, clusters=np.arange(0))
SETTING = Setting(labels=Labels(("no", "yes"), "yes"), train=EMPTY, test=EMPTY, find_personal=lambda _: [])


class Readable:
    """A backend whose words are given."""

    capabilities = frozenset({Capability.CLASSIFY, Capability.WEIGHTS})

    def __init__(self, weights: Sequence[WordWeight]) -> None:
        self.given, self.asked, self.closed = weights, 0, False

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        raise AssertionError("an explanation asks nothing")

    def weights(self, per_class: int) -> Sequence[WordWeight]:
        self.asked = per_class
        return self.given

    def close(self) -> None:
        self.closed = True


def subject(model: Readable | None, capabilities=Readable.capabilities, **more) -> Subject:
    nothing = Predictions(*(np.arange(0), (), None, (), np.zeros(0), None, None, None, np.arange(0)))
    load = None if model is None else lambda: model
    return Subject("m", capabilities, {HELD_OUT: nothing}, model=load, **({"trained": True} | more))


def test_one_fact_per_word_and_class() -> None:
    model = Readable([WordWeight("退货", "no", 2.5), WordWeight("love it", "yes", 1.5), WordWeight("退货", "yes", 0.1)])
    outcomes = WordWeights(per_class=7).measure([subject(model)], SETTING)
    weights = [x for x in outcomes if x.metric == "explanation.weight"]
    assert [(x.slice, x.value, x.unit) for x in weights if isinstance(x, Fact)] == [
        (Slice.of({"class": "no", "word": "退货"}), 2.5, Unit.WEIGHT),
        (Slice.of({"class": "yes", "word": "love it"}), 1.5, Unit.WEIGHT),
        (Slice.of({"class": "yes", "word": "退货"}), 0.1, Unit.WEIGHT),
    ]
    counts = {x.metric: x.value for x in outcomes if isinstance(x, Fact) and x.unit is Unit.COUNT}
    assert counts == {"explanation.words": 2, "explanation.placeholders": 0}
    assert (model.asked, model.closed) == (7, True)


@pytest.mark.parametrize(
    ("word", "flagged"),
    [
        ("[person]", True),
        ("[PERSON]", True),
        ("[email_address]", True),
        ("call [phone_number]", True),
        ("[person_2]", True),
        ("[cn_resident_id] 快递", True),
        ("person", False),
        ("email_address", False),
        ("[sic]", False),
        ("[persons]", False),
        ("[]", False),
        ("客服", False),
    ],
)
def test_only_a_bracketed_entity_is_a_placeholder(word: str, flagged: bool) -> None:
    [count] = [
        x.value
        for x in WordWeights().measure([subject(Readable([WordWeight(word, "yes", 1.0)]))], SETTING)
        if x.metric == "explanation.placeholders" and isinstance(x, Fact)
    ]
    assert count == flagged


def test_placeholders_can_be_named() -> None:
    words = [WordWeight("[kunde]", "yes", 1.0), WordWeight("[person]", "yes", 1.0)]
    outcomes = WordWeights(placeholders=("KUNDE",)).measure([subject(Readable(words))], SETTING)
    assert outcomes[-1].metric == "explanation.placeholders"
    assert isinstance(outcomes[-1], Fact)
    assert outcomes[-1].value == 1


def test_without_words_there_are_none() -> None:
    outcomes = WordWeights().measure([subject(Readable([]))], SETTING)
    assert [(x.metric, x.value) for x in outcomes if isinstance(x, Fact)] == [
        ("explanation.words", 0),
        ("explanation.placeholders", 0),
    ]


def test_other_models_are_not_explained() -> None:
    blind = subject(Readable([]), frozenset({Capability.CLASSIFY}))
    for one in (blind, subject(None)):
        outcomes = WordWeights().measure([one], SETTING)
        assert [(x.metric, x.model) for x in outcomes] == [
            (f"explanation.{name}", "m") for name in ("weight", "words", "placeholders")
        ]
        assert {x.reason for x in outcomes if isinstance(x, NotMeasured)} == {"no readable weights"}


def test_the_model_is_closed_even_if_it_fails() -> None:
    model = Readable([])
    model.weights = lambda _: 1 / 0  # type: ignore[method-assign,assignment]
    with pytest.raises(ZeroDivisionError):
        WordWeights().measure([subject(model)], SETTING)
    assert model.closed


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="per_class: expected at least 1, got 0"):
        WordWeights(per_class=0)
    assert WordWeights(per_class=1).per_class == 1
    assert WordWeights().probes(SETTING) == ()


CLAIM = PrivacyClaim(
    epsilon=7.9,
    delta=1e-5,
    unit="record",
    neighbouring="add-or-remove-one",
    sampling="poisson",
    accountant="prv",
    steps=300,
    sigma=0.9,
    sample_rate=0.05,
    clipping=0.3,
    normaliser=400,
    n=6000,
    rng="os entropy",
    target_epsilon=8,
    covers="training",
    not_covered=("evaluation",),
)


def test_a_claim_becomes_three_facts() -> None:
    facts = Claim().measure([subject(None, claim=CLAIM)], SETTING)
    assert [(x.metric, x.value, x.unit, x.model) for x in facts if isinstance(x, Fact)] == [
        ("privacy.epsilon", 7.9, Unit.NATS, "m"),
        ("privacy.delta", 1e-5, Unit.PROBABILITY, "m"),
        ("privacy.delta_times_n", pytest.approx(0.06), Unit.RATIO, "m"),
    ]
    assert {x.method for x in facts if isinstance(x, Fact)} == {
        "claimed: prv, 300 steps, unit record, add-or-remove-one"
    }


@pytest.mark.parametrize(
    ("trained", "reason"),
    [
        (True, "trained without differential privacy, so no epsilon is finite"),
        (False, "not trained on this data by this audit"),
    ],
)
def test_without_a_claim_there_is_no_epsilon(trained: bool, reason: str) -> None:
    outcomes = Claim().measure([subject(None, trained=trained)], SETTING)
    assert {x.metric for x in outcomes} == {"privacy.epsilon", "privacy.delta", "privacy.delta_times_n"}
    assert {x.reason for x in outcomes if isinstance(x, NotMeasured)} == {reason}
    assert Claim().probes(SETTING) == ()
