"""Cleaning: what is found is counted, what can be mended is, and a row's fate is its own where that is promised."""

from __future__ import annotations

import datetime
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.audit import run_audit
from governance.cleaning import (
    Cleaning,
    Range,
    clean,
    folded,
    median_and_spread,
    refused,
    uncovered,
)
from governance.dataset import ScrubbedText
from governance.encoding import diagnose
from governance.errors import ConfigError, DataError
from governance.privacy.aligned import joined, retagged
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
from governance.similar import similar_to_earlier
from governance.sources import NO_UNIT
from governance.tables import RawTable, Wanted, marks, read_table, sampled
from tests.tiny import write_config, write_encoder, write_reviews

COMMON = [bytes([high, low]).decode("gb2312") for high in range(0xB0, 0xD7) for low in range(0xA1, 0xFF)]
HAN = st.text(st.sampled_from(COMMON), min_size=3, max_size=20)


def table(
    texts: list[str | None], numbers: list[float] | None = None, labels: list[str | None] | None = None, **kept: Any
) -> RawTable:
    return RawTable(
        rows=np.arange(len(texts)),
        texts={"text": texts},
        labels={} if labels is None else {"label": labels},
        numbers={} if numbers is None else {"age": np.array(numbers, dtype=float)},
        required=kept.pop("required", frozenset({"text"})),
        **kept,
    )


def test_rows_without_a_text_are_not_alike_for_that() -> None:
    numbers = [1.0, 2.0, 3.0, 4.0]
    for policy in (Cleaning(near_duplicates="drop"), Cleaning(similar=0.8)):
        cleaned = clean(table([None, None, None, "good dress"], numbers, required=frozenset()), policy)
        assert len(cleaned.table) == 4
        assert not cleaned.counts.get("near duplicate", 0) + cleaned.counts.get("similar", 0)


def test_an_empty_value_that_says_something_is_not_missing() -> None:
    made = table(["", "an answer"], required=frozenset(), blank=frozenset({"text"}))
    assert len(clean(made, Cleaning(missing="drop")).table) == 2


# -- encodings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "mended", "kind", "language"),
    [
        ("CafÃ© au lait", "Café au lait", "mojibake", "en"),
        ("It’s cafÃ©", "It’s café", "mojibake", "en"),
        ("l‚Äôamour", "l’amour", "mojibake", "en"),
        ("璐ㄩ噺寰堝ソ", "质量很好", "mojibake", "zh"),
        ("ÄãºÃ£¬ÖÊÁ¿²»´í", "你好，质量不错", "mojibake", "zh"),
        ("caf\ufffd", "caf", "replacement", "en"),
        ("很好锟斤拷锟斤拷", "很好", "replacement", "zh"),
        ("fine \ud83d\ude00 \ud800", "fine 😀 ", "surrogate", "en"),
        ("fi\x00ne\x1b[31m", "fine[31m", "control", "en"),
    ],
)
def test_broken_characters_are_told_apart_and_mended(broken: str, mended: str, kind: str, language: Any) -> None:
    assert diagnose(broken, language).text == mended
    assert diagnose(broken, language).kinds == {kind}


@pytest.mark.parametrize(
    "text", ["naïve café, 5 €", "质量很好，下次再来！", "联通", "日本語テスト", "a\tb\nc\r\n", "😀", ""]
)
def test_sound_texts_stay_as_they_are(text: str) -> None:
    for language in ("en", "zh"):
        assert diagnose(text, language).text == text
        assert not diagnose(text, language).kinds


@given(HAN)
def test_chinese_is_never_taken_for_mojibake_and_its_mojibake_always_is(text: str) -> None:
    assert diagnose(text, "zh").text == text
    try:
        broken = text.encode().decode("gb18030")
    except UnicodeError:
        return  # bytes were lost on that way: no way back
    assert diagnose(broken, "zh").text == text


@given(st.text(st.characters(exclude_categories=[]), max_size=60))
def test_whatever_comes_in_can_be_written_down_after_it(text: str) -> None:
    mended = diagnose(text).text
    mended.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", mended)


@pytest.mark.parametrize(("policy", "rows", "text"), [("repair", 3, "Café"), ("drop", 2, "fine"), ("keep", 3, "CafÃ©")])
def test_encoding_policies_count_alike(policy: Any, rows: int, text: str) -> None:
    done = clean(table(["CafÃ©", "fine", "good"]), Cleaning(encoding=policy))
    assert done.counts["encoding: mojibake"] == 1
    assert (len(done.table), done.table.texts["text"][0]) == (rows, text)
    assert done.counts.get("dropped: encoding", 0) == 3 - rows


def test_a_text_of_nothing_but_lost_characters_is_missing() -> None:
    done = clean(table(["\ufffd\ufffd", "fine"]), Cleaning())
    assert done.table.texts["text"] == ["fine"]
    assert done.counts == {"dropped: missing": 1, "encoding: replacement": 1, "missing: text": 1}


# -- missing values, ranges, outliers -----------------------------------------------------------


def test_rows_without_a_required_value_go_and_others_by_policy() -> None:
    raw = table(["a", None, "  ", "d"], [1, 2, 3, math.nan])
    kept, dropped = clean(raw, Cleaning()), clean(raw, Cleaning(missing="drop"))
    assert kept.table.texts["text"] == ["a", "d"]
    assert dropped.table.texts["text"] == ["a"]
    assert kept.counts == {"dropped: missing": 2, "missing: age": 1, "missing: text": 2}
    filled = clean(raw, Cleaning(missing="drop", fill={"age": 40}))
    assert filled.table.numbers["age"].tolist() == [1, 40]
    assert filled.counts["missing: age"] == 1
    assert np.isnan(raw.numbers["age"][3]), "the raw rows were changed"


@pytest.mark.parametrize(("outside", "ages"), [("clip", [18, 18, 100, 100]), ("drop", [18, 100])])
def test_bounds_hold(outside: Any, ages: list[float]) -> None:
    done = clean(
        table(list("abcd"), [17, 18, 100, 101]), Cleaning(bounds={"age": Range(low=18, high=100, outside=outside)})
    )
    assert done.table.numbers["age"].tolist() == ages
    assert done.counts["out of bounds: age"] == 2


def test_texts_of_the_wrong_length_go_or_are_cut() -> None:
    raw = table(["ab", "abcd", "abcdef"])
    assert clean(raw, Cleaning(characters=Range(low=3, high=5))).table.texts["text"] == ["abcd"]
    cut = clean(raw, Cleaning(characters=Range(high=5, outside="clip")))
    assert cut.table.texts["text"] == ["ab", "abcd", "abcde"]
    assert cut.counts == {"length: text": 1}


def test_spread_is_the_standard_deviation_of_normal_values() -> None:
    values = np.random.default_rng(0).normal(5, 2, 20_000)
    values[:100] = 1e9  # which would move a mean
    assert median_and_spread(values) == pytest.approx((5, 2), rel=0.02)


def test_outliers_are_found_even_where_most_values_are_equal() -> None:
    ages = [30.0] * 20 + [31.0, 1e6]
    done = clean(table(["x"] * 22, ages), Cleaning(outliers="drop"))
    assert done.counts["outlier: age"] == 1
    assert done.table.numbers["age"].max() == 31
    clipped = clean(table(["x"] * 22, ages), Cleaning(outliers="clip"))
    assert len(clipped.table) == 22
    assert clipped.table.numbers["age"].max() < 1e6
    equal = clean(table(["x"] * 3, [7, 7, 7]), Cleaning(outliers="drop"))
    assert len(equal.table) == 3


# -- repeated rows ------------------------------------------------------------------------------


def test_repeated_rows_are_counted_and_the_first_is_kept() -> None:
    raw = table(["Good shirt!", "Good shirt!", "good  ｓhirt", "bad"], labels=["y", "y", "n", "n"])
    counted = clean(raw, Cleaning())
    assert (len(counted.table), counted.counts) == (4, {"duplicate": 1, "near duplicate": 2})
    exact = clean(raw, Cleaning(duplicates="drop"))
    assert exact.table.rows.tolist() == [0, 2, 3]
    near = clean(raw, Cleaning(near_duplicates="drop"))
    assert near.table.rows.tolist() == [0, 3]
    assert near.counts["dropped: near duplicate"] == 2


def test_rows_of_different_numbers_are_no_duplicates() -> None:
    raw = table(["a", "a", "a"], [1, 2, math.nan])
    assert len(clean(raw, Cleaning(duplicates="drop")).table) == 3


def test_texts_without_a_word_differ_by_what_they_hold() -> None:
    assert folded("👍") != folded("👎")
    assert folded("很好！") == folded("很好。")


@given(st.lists(st.text("abc 好", min_size=5, max_size=14), max_size=12))
def test_similar_texts_are_those_that_comparing_all_pairs_finds(texts: list[str]) -> None:
    def grams(text: str) -> set[str]:
        return {text[i : i + 4] for i in range(max(1, len(text) - 3))}

    kept: list[str] = []
    gone = []
    for place, text in enumerate(texts):
        mine = grams(text)
        if any(len(mine & grams(other)) / len(mine | grams(other)) >= 0.9 for other in kept):
            gone.append(place)
        else:
            kept.append(text)
    assert similar_to_earlier(texts, 0.9) == gone


def test_similar_rows_go() -> None:
    long = "this lovely dress fits well and the colour is just as it is in the picture"
    done = clean(table([long, long + "s", "it tore at once"]), Cleaning(similar=0.8))
    assert done.table.rows.tolist() == [0, 2]
    assert done.counts["dropped: similar"] == 1


# -- what a private run may do ------------------------------------------------------------------


def test_what_looks_across_rows_is_refused_or_told() -> None:
    assert refused(Cleaning(outliers="clip", similar=0.9)) == ("outliers", "similar")
    assert refused(Cleaning(duplicates="drop", bounds={"age": Range(low=0, high=1)}, fill={"age": 0})) == ()
    assert any("repeated rows" in line for line in uncovered(Cleaning(near_duplicates="drop")))
    assert len(uncovered(Cleaning())) == 1


ROW = st.tuples(
    st.one_of(st.none(), st.text(st.sampled_from("aé Ã©\x00好\ufffd"), max_size=8)),
    st.one_of(st.just(math.nan), st.floats(-5, 200)),
)
ROW_WISE = Cleaning(
    encoding="drop",
    missing="drop",
    fill={},
    bounds={"age": Range(low=0, high=120, outside="clip")},
    characters=Range(low=2, high=6),
)


@given(st.lists(ROW, min_size=1, max_size=8), st.sampled_from([ROW_WISE, Cleaning(), Cleaning(fill={"age": 3})]))
def test_what_becomes_of_a_row_depends_on_no_other_row(
    rows: list[tuple[str | None, float]], cleaning: Cleaning
) -> None:
    """The ground on which cleaning may stand before a private run."""
    assert refused(cleaning) == ()
    together = clean(table([text for text, _ in rows], [age for _, age in rows]), cleaning)
    alone = [clean(table([text], [age]), cleaning).table for text, age in rows]
    assert together.table.texts["text"] == [one.texts["text"][0] for one in alone if len(one)]
    np.testing.assert_array_equal(together.table.numbers["age"], [one.numbers["age"][0] for one in alone if len(one)])


# -- reading tables -----------------------------------------------------------------------------

WANTED = {
    "text": Wanted(column="Review", role="text", key="data.columns.Review"),
    "label": Wanted(column="Good", role="label", key="data.columns.Good"),
    "age": Wanted(column="Age", role="number", key="data.columns.Age", required=False),
}


def test_a_table_reads_the_same_from_every_format(tmp_path: Path) -> None:
    rows = [
        {"Review": "fine, really", "Good": 1, "Age": 30, "who": "ann"},
        {"Review": "很差", "Good": 0, "Age": None, "who": None},
        {"Review": None, "Good": 1, "Age": 41, "who": "ann"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('Review,Good,Age,who\n"fine, really",1,30,ann\n很差,0,n/a,\n,1.0,41,ann\n')
    for name in ("a.jsonl", "a.parquet", "a.csv"):
        raw, read = read_table(tmp_path / name, WANTED, unit="who")
        assert (read, len(raw)) == (3, 3)
        assert raw.texts["text"] == ["fine, really", "很差", None], name
        assert raw.labels["label"][:2] == ["1", "0"], name
        np.testing.assert_array_equal(raw.numbers["age"], [30, np.nan, 41])
        assert raw.units is not None
        assert raw.units.tolist() == [0, NO_UNIT, 0]
        assert raw.unreadable == {"age": 0}
        assert "fine" not in repr(raw)


def test_cells_that_are_no_numbers_are_counted_and_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Review,Good,Age\nfine,1,about forty\nbad,0,30\n")
    raw, _ = read_table(tmp_path / "a.csv", WANTED)
    assert clean(raw, Cleaning()).counts["not a number: age"] == 1
    (tmp_path / "b.csv").write_text("Review,Good,Age\nfine,1,about forty\n")
    with pytest.raises(DataError, match=r"data.columns.Age: expected numbers in column 'Age', found none") as caught:
        read_table(tmp_path / "b.csv", WANTED)
    assert "forty" not in str(caught.value)


def test_dates_are_numbers(tmp_path: Path) -> None:
    made = pa.table({"at": [datetime.date(1970, 1, 2), datetime.date(1970, 1, 3)]})
    pq.write_table(made, tmp_path / "a.parquet")
    raw, _ = read_table(tmp_path / "a.parquet", {"time": Wanted(column="at", role="number", key="data.columns.at")})
    assert raw.numbers["time"].tolist() == [86400, 2 * 86400]


def test_a_sample_is_drawn_without_a_look_at_the_rows(tmp_path: Path) -> None:
    lines = [f"text {i},{i % 2}" for i in range(50)]
    for name, order in (("a", lines), ("b", lines[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["Review,Good", *order]))
    wanted = {name: WANTED[name] for name in ("text", "label")}
    one, _ = read_table(tmp_path / "a.csv", wanted, rows=10, seed=3)
    other, _ = read_table(tmp_path / "b.csv", wanted, rows=10, seed=3)
    assert one.rows.tolist() == other.rows.tolist() == sampled(50, 10, 3).tolist()
    assert one.rows.tolist() != sampled(50, 10, 4).tolist()


def test_rows_are_marked_whole_and_by_their_long_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Review,Good,secret\nfine,1,x\nit tore when I first wore it,0,y\n")
    whole = {"Review": "it tore when I first wore it", "Good": "0", "secret": "y"}
    assert list(marks(tmp_path / "a.csv", np.array([1]))) == [whole, whole["Review"]]
    assert len(list(marks(tmp_path / "a.csv", np.array([0])))) == 1


# -- tagged tokens through the scrubber ---------------------------------------------------------


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(load_policy("patterns"))


def scrubbed(scrubber: Scrubber, tokens: list[str]) -> ScrubbedText:
    [done] = scrubber.scrub_many([joined(tokens)], "train")
    return done.text


@pytest.mark.parametrize(
    ("tokens", "tags", "after"),
    [
        ("red dress , write to ann@shop.com now", "B-COL B-ITEM O O O B-MAIL O", "B-COL B-ITEM O O O B-MAIL O"),
        ("call 212-555-0187, please", "O B-TEL O", "O B-TEL O"),
        ("card 4111 1111 1111 1111 was charged", "O B-PAY I-PAY I-PAY I-PAY O O", "O B-PAY O O"),
        (
            "红 色 连 衣 裙 电 话 13812345678 谢 谢",
            "B-C I-C B-P I-P I-P O O B-T O O",
            "B-C I-C B-P I-P I-P O O B-T O O",
        ),
    ],
)
def test_tags_follow_their_tokens_through_the_scrubber(scrubber: Scrubber, tokens: str, tags: str, after: str) -> None:
    made = retagged(tokens.split(), tags.split(), scrubbed(scrubber, tokens.split()))
    assert made is not None
    text, found = made
    assert found == after
    assert len(text.text.split()) == len(found.split())
    assert "[" in text.text
    assert not re.search(r"\d{4}|@", text.text)


TOKEN = st.text(st.sampled_from("ab1-,[]好的。"), min_size=1, max_size=4)


@given(st.lists(st.tuples(TOKEN, st.sampled_from(["O", "B-X", "I-X"])), min_size=1, max_size=10))
def test_without_personal_data_tokens_and_tags_stay_as_they_were(rows: list[tuple[str, str]]) -> None:
    tokens, tags = [token for token, _ in rows], [tag for _, tag in rows]
    made = retagged(tokens, tags, _sealed(joined(tokens)))
    assert made is not None
    assert (made[0].text.split(), made[1].split()) == (tokens, tags)


def test_rows_that_no_longer_fit_are_none() -> None:
    assert retagged(["a", "b"], ["O"], _sealed("a b")) is None
    assert retagged(["a"], ["O"], _sealed("a new b")) is None
    assert retagged(["x"] * 3000, ["O"] * 3000, _sealed("x " * 3000)) is None


def _sealed(text: str) -> ScrubbedText:
    return ScrubbedText(text)


# -- in an audit --------------------------------------------------------------------------------


def test_an_audit_cleans_counts_and_tells(tmp_path: Path) -> None:
    rows = (write_reviews(tmp_path / "reviews.csv").read_text()).splitlines()
    again = rows[1].replace("the", "THE")
    (tmp_path / "reviews.csv").write_text("\n".join([*rows, again, "cafÃ© dress soft great,yes,30,Tops,900"]))
    data = {"path": "reviews.csv", "positive": "yes", "cleaning": {"near_duplicates": "drop"}}
    done = run_audit(write_config(tmp_path / "audit.yaml", data=data, evaluators=["quality"]), out=tmp_path / "runs")
    entry = done.record.data
    assert entry.cleaning == {"dropped: near duplicate": 1, "encoding: mojibake": 1, "near duplicate": 1}
    assert (entry.rows_read, entry.rows_empty, entry.rows_used) == (242, 0, 241)
    page = (done.out / "report.html").read_text("utf-8")
    assert "Found by cleaning" in page
    assert "mojibake" in page


def test_a_record_without_cleaning_is_what_it_always_was(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    done = run_audit(write_config(tmp_path / "audit.yaml", evaluators=["quality"]), out=tmp_path / "runs")
    assert "cleaning" not in done.record.model_dump(mode="json")["data"]


def test_an_audit_refuses_to_look_across_rows_before_a_private_model(tmp_path: Path) -> None:
    write_reviews(tmp_path / "reviews.csv")
    write_encoder(tmp_path / "base")
    private = {"epsilon": 8, "delta": 1e-4, "sample_rate": 0.2, "steps": 2, "batch": 48}
    model = {"kind": "classifier", "base": "base", "cached_layers": 1, "learning_rate": 1, "private": private}
    changes = {"models": {"m": model}, "candidate": "m", "data": {"path": "reviews.csv", "cleaning": {"similar": 0.9}}}
    with pytest.raises(ConfigError, match=r"data.cleaning.similar: expected none beside the private model 'm'"):
        run_audit(write_config(tmp_path / "audit.yaml", **changes), out=tmp_path / "runs")
