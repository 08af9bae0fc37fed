"""The product description task: what is stated and copied, against slow second implementations; English and Chinese."""

from __future__ import annotations

import json
import math
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.tasks import readability, sameness
from evaluators.tasks.attributes import Stated, Vocabulary
from evaluators.tasks.base import Item, Reply, Scores
from evaluators.tasks.description import Description
from evaluators.tasks.tokens import words
from evaluators.tasks.verbatim import longest_runs
from governance.errors import DataError

ENGLISH = [
    ["colour: navy", "material: merino wool", "fit: slim", "capacity: 1.2 litres", "waterproof: yes", "size: m"],
    ["colour: dark blue", "material: wool", "capacity: 2 litres", "strap: padded straps"],
    ["colour: blue", "material: organic cotton", "lining: satin", "care: dry clean"],
    ["colour: red", "material: satin", "lining: cotton", "care: machine wash cold, do not bleach"],
    ["material: linen", "lining: linen"],
]
CHINESE = [
    ["颜色: 玫红色", "面料：纯棉", "版型: 宽松", "容量: 22升"],
    ["颜色: 红色", "面料：羊毛", "版型: 修身", "容量: 2升"],
    ["颜色: 藏蓝色", "面料：亚麻、有机棉", "洗涤: 只可手洗"],
]


def value(scores: Scores) -> float:
    return float(scores.combine(scores.table.sum(axis=0)))


def by_name(scores: list[Scores]) -> dict[str, float]:
    return {one.metric: value(one) for one in scores}


def item(
    attributes: list[str], *, title: str = "a thing", seen: tuple[str, ...] = (), refs: tuple[str, ...] = ()
) -> Item:
    lists = {"attributes": tuple(attributes), "references": refs, "seen": seen}
    return Item(texts={"title": title, "category": ""}, lists=lists)


def run(rows: list[tuple[Item, str]], language: str, task: Description | None = None) -> dict[str, float]:
    replies = [Reply(words=text) for _, text in rows]
    return by_name(list((task or Description()).scores([one for one, _ in rows], replies, language=language)))


# -- attributes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "text", "covered", "claims", "right", "contradicts"),
    [
        (0, "A navy piece in Merino-Wool, slim. Holds 1.2 litres.", 4, 4, 4, False),
        (0, "Navy, made of merino wool. This wool is warm.", 2, 2, 2, False),  # the shorter name repeats the longer
        (0, "Warm wool.", 0, 1, 0, True),  # "wool" is another value of the catalogue
        (0, "The navyish merino woollen thing", 0, 0, 0, False),
        (0, "Dark blue, and it holds 2 litres.", 0, 2, 0, True),
        (0, "Comes in navy; also sold in red.", 1, 2, 1, False),  # wrong, but the right one is there too
        (0, "It isn’t slim.", 0, 1, 0, True),
        (0, "It is not made of wool, but of merino wool.", 1, 1, 1, False),
        (0, "Not only slim but navy.", 2, 2, 2, False),
        (0, "Completely merino wool-free.", 0, 1, 0, True),
        (0, "Free of satin.", 0, 0, 0, False),
        (0, "Holds 11.2 litres or 1.25 litres.", 0, 0, 0, False),
        (0, "Cheap it is not. Navy, it is!", 1, 1, 1, False),
        (1, "Dark blue wool with a padded strap.", 3, 3, 3, False),
        (2, "Organic cotton outside, satin lining.", 2, 2, 2, False),  # satin is a material too, elsewhere
        (2, "Cotton all through.", 0, 1, 0, True),
        (3, "Machine wash cold. Please do not bleach.", 1, 2, 2, False),
        (3, "Machine wash cold.", 0, 1, 1, False),  # half of the value isn't all of it
        (3, "Satin, with linen.", 1, 2, 1, True),  # the linen must be what is wrong about the lining
        (3, "Lovely.", 0, 0, 0, False),
    ],
)
def test_english_statements(row: int, text: str, covered: int, claims: int, right: int, contradicts: bool) -> None:
    found = Vocabulary(ENGLISH).read(text, ENGLISH[row])
    assert found == Stated(given=4, covered=covered, claims=claims, right=right, contradicts=contradicts)


@pytest.mark.parametrize(
    ("row", "text", "covered", "claims", "right", "contradicts"),
    [
        (0, "这款玫红色的上衣采用纯棉制成，版型宽松，容量22升。", 4, 4, 4, False),
        (1, "这款玫红色的上衣。", 0, 1, 0, True),  # no 红色 in 玫红色
        (1, "红色的羊毛衫，容量2升。", 3, 3, 3, False),
        (1, "容量22升", 0, 1, 0, True),  # no 2升 in 22升
        (1, "不是红色。", 0, 1, 0, True),
        (1, "不含任何纯棉，是羊毛。", 1, 1, 1, False),
        (1, "不仅是红色，而且修身。", 2, 2, 2, False),
        (1, "非常修身，没有使用羊毛。", 1, 2, 1, True),
        (2, "亚麻与有机棉混纺", 1, 2, 2, False),
        (2, "有机棉", 0, 1, 1, False),
        (0, "百搭好物。", 0, 0, 0, False),
    ],
)
def test_chinese_statements(row: int, text: str, covered: int, claims: int, right: int, contradicts: bool) -> None:
    found = Vocabulary(CHINESE).read(text, CHINESE[row])
    given = len(CHINESE[row])
    assert found == Stated(given=given, covered=covered, claims=claims, right=right, contradicts=contradicts)


def test_what_the_title_says_is_no_false_statement() -> None:
    about = Vocabulary(ENGLISH)
    assert about.read("A glass for red wine.", ENGLISH[0]).contradicts
    assert not about.read("A glass for red wine.", ENGLISH[0], besides=["Red wine glass"]).claims


@pytest.mark.parametrize("attribute", ["navy", ": navy", "", "纯棉"])
def test_an_attribute_needs_a_name_and_a_colon(attribute: str) -> None:
    with pytest.raises(DataError, match="expected 'name: value', found 1 without") as raised:
        Vocabulary([[attribute]])
    assert not attribute.strip(": ") or attribute.strip(": ") not in str(raised.value)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_planted_statements_give_the_shares_that_were_planted(language: str) -> None:
    """Texts of values drawn at random from the shipped catalogue, counted by hand beside it."""
    rng = np.random.default_rng(0)
    rows = shipped(language)
    values: dict[str, list[str]] = {}
    for row in rows:
        for name, one in row["attributes"].items():
            values.setdefault(name, []).append(one)
    right = claims = covered = given_ = contradicted = 0
    pairs: list[tuple[Item, str]] = []
    for row in rows:
        said, wrong = [], False
        for name, own in row["attributes"].items():
            given_ += 1
            other = values[name][rng.integers(len(values[name]))]
            choice = rng.integers(3)
            if choice == 0 or (choice == 1 and other == own):
                said.append(own)
                right, claims, covered = right + 1, claims + 1, covered + 1
            elif choice == 1:
                said.append(other)
                claims, wrong = claims + 1, True
        contradicted += wrong
        pairs.append((item([f"{name}: {one}" for name, one in row["attributes"].items()]), "\n".join(said)))
    found = run(pairs, language, Description(others=2))
    assert found["attribute_precision"] == pytest.approx(right / claims)
    assert found["attribute_coverage"] == pytest.approx(covered / given_)
    assert found["contradiction"] == pytest.approx(contradicted / len(rows))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shipped_descriptions_are_true_and_those_of_other_products_are_not(language: str) -> None:
    rows = shipped(language)
    items = [item([f"{name}: {one}" for name, one in row["attributes"].items()], title=row["title"]) for row in rows]
    own = run([(one, row["description"]) for one, row in zip(items, rows, strict=True)][:60], language)
    assert own["attribute_precision"] == 1.0
    assert own["contradiction"] == 0.0
    assert 0.7 < own["attribute_coverage"] < 0.9  # each description leaves some out
    swapped = run([(one, row["description"]) for one, row in zip(items, rows[5:], strict=False)][:60], language)
    assert swapped["attribute_precision"] < 0.5
    assert swapped["contradiction"] > 0.5


def shipped(language: str) -> list[dict]:
    text = files("configs").joinpath("data", f"catalogue.{language}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_attributes_that_cannot_be_found_in_a_text_count_nowhere() -> None:
    found = run(
        [(item(["waterproof: yes", "size: 38"]), "Waterproof? Yes, 38."), (item(["colour: navy"]), "Navy.")], "en"
    )
    assert found["attribute_coverage"] == 1.0
    scores = Description().scores([item(["waterproof: yes"])], [Reply(words="Yes.")], language="en")
    assert math.isnan(by_name(list(scores))["contradiction"])


# -- runs --------------------------------------------------------------------------------------------

TEXT = st.lists(st.sampled_from("abc"), max_size=12)


def naive(text: list[str], corpus: list[list[str]]) -> int:
    pieces = {tuple(one[i:j]) for one in corpus for i in range(len(one)) for j in range(i + 1, len(one) + 1)}
    own = {tuple(text[i:j]) for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    return max(map(len, own & pieces), default=0)


@settings(deadline=None, max_examples=200)
@given(st.lists(TEXT, max_size=5), st.lists(TEXT, max_size=5))
def test_longest_runs_are_those_of_a_search_through_all_pieces(texts: list[list[str]], corpus: list[list[str]]) -> None:
    assert longest_runs(texts, corpus).tolist() == [naive(text, corpus) for text in texts]


@pytest.mark.parametrize(
    ("language", "least", "word"), [("en", 12, " word{}"), ("zh", 20, None)], ids=["words", "characters"]
)
def test_copied_starts_at_the_least_run(language: str, least: int, word: str | None) -> None:
    tokens = [word.format(i) for i in range(40)] if word else [chr(0x4E00 + i) for i in range(40)]
    seen = ("".join(tokens),)
    short, long = "".join(tokens[: least - 1]), "".join(tokens[5 : 5 + least]).upper() + "!"
    rows = [(item(["colour: red"], seen=seen), short), (item(["colour: red"]), long)]
    found = run(rows, language)
    assert found["verbatim_run"] == pytest.approx((2 * least - 1) / 2)
    assert found["copied"] == 0.5
    assert run(rows, language, Description(least_run=least + 1))["copied"] == 0.0


def test_no_run_reaches_from_one_seen_text_into_the_next() -> None:
    seen = ("the quick brown fox", "jumps over the dog")
    assert run([(item(["a: bb"], seen=seen), "quick brown fox jumps over the dog")], "en")["verbatim_run"] == 4


def test_without_seen_texts_nothing_is_said_of_copying() -> None:
    found = run([(item(["colour: red"]), "Red.")], "en")
    assert math.isnan(found["copied"])
    assert math.isnan(found["verbatim_run"])


# -- sameness ----------------------------------------------------------------------------------------

SENTENCES = {"en": "red lamp oak base warm light small desk", "zh": "红色 台灯 橡木 底座 暖光 小巧 书桌 耐用"}


def catalogue(language: str, n: int) -> list[str]:
    rng = np.random.default_rng(1)
    pieces, gap = SENTENCES[language].split(), " " if language == "en" else ""
    return [gap.join(rng.choice(pieces, size=9)) for _ in range(n)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("n", [1, 2])
def test_distinct_counts_different_ngrams_of_all_texts_together(language: str, n: int) -> None:
    texts = [*catalogue(language, 12), "", "x"]
    across, within = sameness.distinct(texts, n)
    grams = [[tuple(words(text)[i : i + n]) for i in range(len(words(text)) - n + 1)] for text in texts]
    everything = [gram for own in grams for gram in own]
    assert value(across) == pytest.approx(len(set(everything)) / len(everything))
    assert value(within) == pytest.approx(np.mean([len(set(own)) / len(own) for own in grams if own]))
    assert across.table[:, 1].tolist() == [len(own) for own in grams]


@pytest.mark.parametrize(("language", "tokenize"), [("en", "13a"), ("zh", "zh")])
def test_self_bleu_is_sacrebleu_of_each_text_against_all_others(language: str, tokenize: str) -> None:
    import sacrebleu

    texts = [*catalogue(language, 7), SENTENCES[language][:5]]  # one too short for runs of four
    keys = [str(i) for i in range(8)]
    expected = [
        sacrebleu.sentence_bleu(text, texts[:i] + texts[i + 1 :], tokenize=tokenize, use_effective_order=True).score
        for i, text in enumerate(texts)
    ]
    found = sameness.self_bleu(texts, keys, language, others=50, seed=0)
    assert found.table[:, 0] * 100 == pytest.approx(expected)
    assert "against 7 other texts" in found.method


def test_self_bleu_pairs_follow_the_rows_and_not_the_texts_or_their_order() -> None:
    texts, keys = catalogue("en", 10), [f"key {i}" for i in range(10)]
    found = sameness.self_bleu(texts, keys, "en", others=3, seed=0).table[:, 0]
    turned = sameness.self_bleu(texts[::-1], keys[::-1], "en", others=3, seed=0).table[::-1, 0]
    assert found.tolist() == turned.tolist()
    assert found.tolist() != sameness.self_bleu(texts, keys, "en", others=3, seed=1).table[:, 0].tolist()
    assert "against 3 other texts" in sameness.self_bleu(texts, keys, "en", others=3, seed=0).method


@pytest.mark.parametrize("language", ["en", "zh"])
def test_self_bleu_ends(language: str) -> None:
    one = catalogue(language, 1)[0]
    assert value(sameness.self_bleu([one] * 4, list("abcd"), language, others=2, seed=0)) == pytest.approx(1.0)
    assert math.isnan(value(sameness.self_bleu([one], ["a"], language, others=2, seed=0)))
    assert math.isnan(value(sameness.self_bleu([one, "", ""], list("abc"), language, others=2, seed=0)))


# -- reading -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ease"),
    [
        ("The cat sat on the mat.", 116.1),
        ("This sentence, taken as a reading passage unto itself, is being used to prove a point.", 69.0),
        ("The cat sat on the mat. The cat sat on the mat! - 1.5.", 116.1),
    ],
)
def test_reading_ease_of_sentences_with_a_published_score(text: str, ease: float) -> None:
    """The examples of Wikipedia's article on the Flesch-Kincaid readability tests."""
    assert value(readability.reading_ease([text], "en")) == pytest.approx(ease, abs=0.05)


def test_common_characters_are_level_one_of_the_standard() -> None:
    assert len(readability._common()) == 3755
    assert value(readability.common_characters(["红色的A", "龘", "..."], "zh")) == 0.5
    assert math.isnan(value(readability.common_characters(["红色"], "en")))
    assert math.isnan(value(readability.reading_ease(["红色"], "zh")))


@pytest.mark.parametrize(
    ("language", "text", "length"), [("en", "It holds 1.5 litres. Nice!", 5 / 2), ("zh", "红色，A4大小。很好！", 7 / 2)]
)
def test_sentence_length(language: str, text: str, length: float) -> None:
    assert value(readability.sentence_length([text, ""], language)) == length


def test_a_word_that_is_not_known_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    readability.reading_ease(["Brindlewickery xqzt."], "en")
    assert not caplog.records


# -- the task ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", [{"least_run": 0}, {"others": 0}, {"seed": -1}])
def test_settings_out_of_range(setting: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected a number from"):
        Description(**setting)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.text(alphabet="红玫色不是纯棉2升 ，。navy wool not-'.\n", max_size=30), min_size=1, max_size=5),
    st.sampled_from(["en", "zh"]),
    st.booleans(),
)
def test_any_text_scores_within_reach_and_any_half_adds_up(texts: list[str], language: str, told: bool) -> None:
    catalogue_ = CHINESE if language == "zh" else ENGLISH
    seen, refs = (("红色玫红色 navy wool",), ("navy 红色",)) if told else ((), ())
    items = [item(catalogue_[i % 3], seen=seen, refs=refs) for i in range(len(texts))]
    found = Description().scores(items, [Reply(words=text) for text in texts], language=language)
    assert len({one.metric for one in found}) == len(found) == 17
    for one in found:
        assert one.table.shape[0] == len(texts)
        assert np.isfinite(one.table).all()
        low, high = one.reach
        for part in (one.table, one.table[:1], one.table[1:]):
            number = float(one.combine(part.sum(axis=0)))
            assert math.isnan(number) or ((low is None or number >= low) and (high is None or number <= high + 1e-9))


def test_a_blank_text_says_nothing() -> None:
    found = run([(item(ENGLISH[0], refs=("Navy.",)), " "), (item(ENGLISH[1]), "")], "en")
    assert {name for name, one in found.items() if math.isnan(one)} == {
        "attribute_precision", "reading_ease", "sentence_length", "common_characters", "distinct_1", "distinct_2",
        "distinct_1_text", "distinct_2_text", "self_bleu", "verbatim_run", "copied",
    }  # fmt: skip
    assert Counter(one for one in found.values() if not math.isnan(one)) == {0.0: 6}
