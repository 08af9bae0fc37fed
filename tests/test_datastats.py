from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from governance.audit import run_audit
from governance.datafacts import FEW, UNCOVERED, Axis, CrossTable
from governance.datastats import NEAR, Texts, doubted, label_doubts, sampled, shown_cells, statistics_of
from governance.similar import similar_to_known
from tests.sample_record import record
from tests.test_taskaudit import QUESTIONS, QUESTIONS_ZH, questions
from tests.test_taskaudit import config as task_config
from tests.tiny import write_config, write_reviews

WORDS = {
    "en": {
        "good": ["love", "great", "perfect", "soft", "happy", "lovely"],
        "bad": ["poor", "returned", "cheap", "torn", "awful", "scratchy"],
        "": ["the", "dress", "is", "so", "and", "fits", "it", "was", "very", "size", "colour", "shirt"],
    },
    "zh": {
        "good": ["喜欢", "满意", "漂亮", "舒服", "好评", "推荐"],
        "bad": ["退货", "失望", "破损", "劣质", "难看", "褪色"],
        "": ["这件", "裙子", "衣服", "尺码", "颜色", "收到", "穿着", "昨天", "快递", "客服", "面料", "价格"],
    },
}
SPACE = {"en": " ", "zh": ""}


def texts_of(labels: list[str], language: str, seed: int = 0) -> list[str]:
    """Texts whose words tell their label."""
    rng, words = random.Random(seed), WORDS[language]
    found = []
    for label in labels:
        said = rng.choices(words[label], k=3) + rng.choices(words[""], k=9)
        rng.shuffle(said)
        found.append(SPACE[language].join(said))
    return found


def labels_of(n: int, seed: int = 0) -> list[str]:
    return random.Random(seed).choices(["good", "bad"], k=n)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_flipped_labels_are_suspected_and_few_others(language: str) -> None:
    true = labels_of(800)
    texts = texts_of(true, language)
    flipped = np.isin(np.arange(800), random.Random(1).sample(range(800), 40))
    other = {"good": "bad", "bad": "good"}
    labels = [other[label] if flip else label for label, flip in zip(true, flipped, strict=True)]
    doubts = label_doubts(texts, labels, language=language, seed=0)
    assert doubts is not None
    assert flipped[doubts].mean() >= 0.8 and doubts[flipped].mean() >= 0.6
    found = statistics_of(Texts(texts, labels), Texts([]), language=language, seed=0).suspects
    assert found is not None and found.examined == Counter(labels)
    assert found.suspected == Counter(label for label, doubt in zip(labels, doubts, strict=True) if doubt)
    clean = label_doubts(texts, true, language=language, seed=0)
    assert clean is not None and clean.sum() <= 4


def test_the_suspects_are_the_flipped_rows_themselves() -> None:
    """The confident joint on probabilities as a good model gives them."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 3000)
    flipped = rng.random(3000) < 0.05
    codes = np.where(flipped, (true + 1) % 3, true)
    chances = rng.dirichlet([1, 1, 1], 3000) * 0.3
    chances[np.arange(3000), true] += 0.7
    found = doubted(chances, codes)
    assert flipped[found].mean() >= 0.8 and found[flipped].mean() >= 0.3


@given(st.integers(0, 2**32 - 1))
def test_doubt_is_northcutts_joint_off_its_diagonal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.concatenate([[0, 1, 2], rng.integers(0, 3, 30)])
    chances = rng.dirichlet([1, 1, 1], len(codes))
    bars = [np.mean([p[k] for p, code in zip(chances, codes, strict=True) if code == k]) for k in range(3)]
    slow = []
    for p, code in zip(chances, codes, strict=True):
        reached = [k for k in range(3) if p[k] >= bars[k]]
        slow.append(bool(reached) and max(reached, key=lambda k: (p[k], -k)) != code)
    assert doubted(chances, codes).tolist() == slow


@pytest.mark.parametrize("labels", [["good"] * 300, ["good"] * 295 + ["bad"] * 9])
def test_labels_are_not_judged_without_two_classes_of_ten_rows(labels: list[str]) -> None:
    found = statistics_of(Texts(texts_of(labels, "en"), labels), Texts([]), language="en", seed=0)
    assert (
        found.suspects is None and found.no_suspects == "fewer than two classes have 10 of the training rows looked at"
    )


def test_rare_classes_are_left_out_of_what_is_judged() -> None:
    labels = [*labels_of(300), *["odd"] * 9]
    texts = [*texts_of(labels[:300], "en"), *(f"odd {i}" for i in range(9))]
    found = statistics_of(Texts(texts, labels), Texts([]), language="en", seed=0).suspects
    assert found is not None and found.examined.keys() == {"good", "bad"}


def test_texts_without_words_have_no_suspects() -> None:
    labels = labels_of(60)
    found = statistics_of(Texts(["!"] * 60, labels), Texts([]), language="en", seed=0)
    assert found.suspects is None and found.no_suspects == "no training text holds a word"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_duplicates_and_near_duplicates_are_counted(language: str) -> None:
    labels = labels_of(300)
    texts = texts_of(labels, language)
    train, test = texts[:200], texts[200:]
    train += train[:7]  # repeated, under the other label
    other = {"good": "bad", "bad": "good"}
    train_labels = labels[:200] + [other[label] for label in labels[:7]]
    long = [SPACE[language].join(train[3 * i : 3 * i + 3]) for i in range(20, 31)]  # 36 words
    train += long
    train_labels += ["good"] * 11
    test += [text + "!!! " + WORDS[language][""][0] for text in long]
    found = statistics_of(
        Texts(train, train_labels), Texts(test, [*labels[200:], *["good"] * 11]), language=language, seed=0
    )
    assert found.train is not None and found.test is not None and found.overlap is not None
    assert (found.train.repeated, found.test.repeated) == (7, 0)
    assert found.conflicting == 14
    assert (found.overlap.near, found.overlap.rows, found.overlap.known) == (11, len(test), len(train))
    assert found.overlap.share == NEAR


@given(st.lists(st.text("ab", min_size=1, max_size=12), max_size=8), st.lists(st.text("ab", max_size=12), max_size=8))
def test_near_texts_are_those_that_comparing_all_pairs_finds(texts: list[str], known: list[str]) -> None:
    def grams(text: str) -> set[str]:
        return {text[i : i + 4] for i in range(max(1, len(text) - 3))}

    slow = [
        i
        for i, text in enumerate(texts)
        if any(len(grams(text) & grams(other)) / len(grams(text) | grams(other)) >= 0.9 for other in known)
    ]
    assert similar_to_known(texts, known, 0.9) == slow


def test_many_texts_made_alike_are_still_told_apart_and_found() -> None:
    """More of a kind than are looked at: bands hold but so many, yet the double shares most bands."""
    frame = "the parcel was left with a neighbour on the ground floor and nobody told me about it until "
    known = [f"{frame}{i:04d} {i * 7919 % 100_003} {i * 104_729 % 1_000_003}" for i in range(500)]
    assert similar_to_known([known[3], known[480], "another thing altogether"], known, 0.99)[:1] == [0]


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 30), min_size=width, max_size=width), min_size=1, max_size=5)
)


@given(TABLES)
def test_no_shown_cell_is_small_and_no_total_tells_a_hidden_one(rows: list[list[int]]) -> None:
    counts = np.array(rows)
    shown = shown_cells(counts)
    assert (counts[shown] >= FEW).all()
    assert shown.all() or (counts < FEW).any()  # nothing is hidden for nothing
    for line, told in [*zip(counts, shown, strict=True), *zip(counts.T, shown.T, strict=True)]:
        hidden = ~told
        if hidden.any() and told.any():
            assert hidden.sum() >= 2 and line[hidden].sum() >= FEW


def test_tables_hold_both_sides_and_merge_what_is_rare() -> None:
    groups = ["Tops"] * 40 + ["Dresses"] * 40 + [None] * 10 + ["Alice"] * 4 + ["Bob"] * 3
    labels = (["good", "bad"] * 49)[: len(groups)]
    texts = texts_of(labels, "en")
    train, test = (
        Texts(texts[part], labels[part], {"department": groups[part]}) for part in (slice(0, 60), slice(60, None))
    )
    found = statistics_of(train, test, language="en", seed=0)
    [table] = found.tables
    assert table.groups.names == ("Dresses", "Tops", None) and table.groups.merged == 2
    assert table.labels.names == ("bad", "good") and table.labels.merged == 0
    assert table.counts == ((20, 20, None, None),) * 2  # 5 rows without a group would tell the 4 and 3 merged
    told = found.model_dump_json()
    assert "Alice" not in told and "Bob" not in told


def test_names_by_the_thousand_are_merged() -> None:
    groups = [f"shop {i % 100}" for i in range(2000)]
    labels = ["good"] * 2000
    test = Texts([f"text {i}" for i in range(2000)], labels, {"shop": groups})
    [table] = statistics_of(Texts([]), test, language="en", seed=0).tables
    assert len(table.groups.names) == 50 and table.groups.merged == 50
    assert table.counts[0][-1] == 1000 and sum(n or 0 for n in table.counts[0]) == 2000


def test_lengths_and_scripts() -> None:
    texts = ["a" * n for n in range(1, 101)] + ["很好"] * 4 + ["裙子很好看"] * 3
    side = statistics_of(Texts([]), Texts(texts), language="en", seed=0).test
    assert side is not None
    assert side.characters == {"0.05": 2, "0.25": 20, "0.5": 47, "0.75": 74, "0.95": 95}
    assert side.words == {"0.05": 1, "0.25": 1, "0.5": 1, "0.75": 1, "0.95": 2}  # a Han character is a word
    assert side.scripts == {"latin": 100, "han": 7} and side.scripts_few == 0


def test_few_rows_give_few_quantiles_and_no_scripts() -> None:
    found = statistics_of(Texts([]), Texts(["one", "zwei 2", "три", "四"] * 3), language="en", seed=0).test
    assert found is not None and found.characters.keys() == {"0.5"}
    assert found.scripts == {"latin": 6} and found.scripts_few == 6


def test_rows_without_labels_still_have_tables_and_lengths() -> None:
    asked = Texts([f"how many days {i}" for i in range(20)], groups={"segment": ["new", "old"] * 10})
    found = statistics_of(Texts([]), asked, language="en", seed=0)
    assert found.tables[0].labels.names == (None,) and found.tables[0].counts == ((10, 10),)
    assert found.conflicting is None and found.overlap is None and found.train is None
    assert found.suspects is None and found.no_suspects is None


def test_the_same_rows_and_seed_give_the_same_statistics() -> None:
    labels = labels_of(300)
    made = [
        statistics_of(
            Texts(texts_of(labels, "en"), labels, {}), Texts(texts_of(labels, "en", 1), labels), language="en", seed=3
        )
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert sampled(10, 20, 0).tolist() == list(range(10))
    few = sampled(1000, 20, 0)
    assert len(set(few.tolist())) == 20 and few.tolist() == sorted(few.tolist())
    assert few.tolist() == sampled(1000, 20, 0).tolist() != sampled(1000, 20, 1).tolist()


def test_a_record_refuses_small_cells() -> None:
    one = Axis(column=None, names=("good",))
    with pytest.raises(ValidationError, match="at least 5 rows per cell"):
        CrossTable(labels=one, groups=Axis(column="age", names=("30-39",)), counts=((4,),))
    with pytest.raises(ValidationError, match="a count for each label and group"):
        CrossTable(labels=one, groups=Axis(column="age", names=("30-39",), merged=2), counts=((9,),))


def test_records_without_statistics_keep_their_digests() -> None:
    assert "statistics" not in record().model_dump(mode="json")["data"]


@pytest.mark.slow
def test_an_audit_records_statistics_without_texts_unless_told_not_to(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    told = run_audit(write_config(tmp_path / "c.yaml", evaluators=["claim"]), out=tmp_path / "runs").record
    found = told.data.statistics
    assert found is not None and found.train is not None and found.test is not None
    assert found.privacy == UNCOVERED
    assert (found.train.rows, found.test.rows) == (told.data.rows_train, told.data.rows_test)
    assert {table.groups.column for table in found.tables} == {"department", "age_band"}
    assert found.suspects is not None and sum(found.suspects.examined.values()) == told.data.rows_train
    assert "describe the data" in told.seconds
    said = found.model_dump_json()
    assert not any(word in said for word in ("scratchy", "lovely", "colour"))
    data = {"path": "reviews.csv", "positive": "yes", "statistics": False}
    config = write_config(tmp_path / "d.yaml", evaluators=["claim"], data=data)
    assert run_audit(config, out=tmp_path / "runs").record.data.statistics is None


@pytest.mark.slow
@pytest.mark.parametrize("rows", [QUESTIONS, QUESTIONS_ZH], ids=["en", "zh"])
def test_an_audit_of_words_records_what_its_questions_look_like(tmp_path: Path, rows: list[Any]) -> None:
    questions(tmp_path, rows)
    language = "en" if rows is QUESTIONS else "zh"
    found = run_audit(task_config(tmp_path, language=language), out=tmp_path / "runs").record.data.statistics
    assert found is not None and found.test is not None
    assert found.test.rows == len(rows) and found.test.scripts == {"en": {"latin": 40}, "zh": {"han": 23}}[language]
    assert [table.groups.column for table in found.tables] == ["segment"] and found.train is None
    off = task_config(tmp_path, language=language, data={"statistics": False})
    assert run_audit(off, out=tmp_path / "runs").record.data.statistics is None
