"""What Presidio gets wrong, one test a trap: what passes it by, and what it takes for personal data."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

from governance.errors import ConfigError
from governance.keys import Key
from governance.privacy.policy import EntityRule, ScrubPolicy, Treatment, load_policy
from governance.privacy.scrubber import Scrubber
from governance.privacy.windows import Windows

KEY = Key(hashlib.sha256(b"a key for tests").digest())


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return Scrubber(load_policy("patterns"))


def scrubbed(policy: ScrubPolicy, text: str, direction: str = "train") -> str:
    return Scrubber(policy, KEY).scrub_one(text, direction)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a word edge never matches beside Han characters
        ("邮箱zhang.wei@qq.com谢谢", "邮箱[EMAIL_ADDRESS]谢谢"),
        ("卡号4111111111111111已扣款", "卡号[CREDIT_CARD]已扣款"),
        ("IP是192.168.1.20吗", "IP是[IP_ADDRESS]吗"),
        # valid cards that its patterns don't know
        ("paid 2223 0031 2200 3222 today", "paid [CREDIT_CARD] today"),
        ("银联 6222021234567890128 扣款", "银联 [CREDIT_CARD] 扣款"),
        ("with 500000000009 it worked", "with [CREDIT_CARD] it worked"),
        # spellings
        ("手机１３８００１３８０００", "手机[PHONE_NUMBER]"),
        ("手机138\u200b0013\u200b8000", "手机[PHONE_NUMBER]"),
        ("write to john&#64;example.com now", "write to [EMAIL_ADDRESS] now"),
        ("write to john%40example.com now", "write to [EMAIL_ADDRESS] now"),
        ("write to john [at] example (dot) com now", "write to [EMAIL_ADDRESS] now"),
        ("write to <b>john</b>@example.com now", "write to <b>[EMAIL_ADDRESS] now"),
        # marks on their own, other separators, words in capitals that touch a number
        ("mail jose\u0301@example.com", "mail [EMAIL_ADDRESS]"),
        ("手机1\u03363\u03368\u033600138000", "手机[PHONE_NUMBER]"),
        ("card 4111_1111_1111_1111 or 4111/1111/1111/1111", "card [CREDIT_CARD] or [CREDIT_CARD]"),
        ("4111\t1111\n1111\t1111", "[CREDIT_CARD]"),
        ("ip 192.168.001.010", "ip [IP_ADDRESS]"),
        ("电话TEL13800138000", "电话TEL[PHONE_NUMBER]"),
        ("my ssn is [US_SSN_123456789] ok", "my ssn is [US_SSN_[US_SSN]] ok"),
        # one wrong digit beside a word that says what the number is
        ("my card 4111 1111 1111 1112", "my card [CREDIT_CARD]"),
        ("身份证110105194912310021没错吧", "身份证[CN_RESIDENT_ID]没错吧"),
        # one person, one address: never two halves side by side
        ("John.Smith@example.com", "[EMAIL_ADDRESS]"),
    ],
)
def test_value_that_presidio_misses_is_taken_out(scrubber: Scrubber, text: str, expected: str) -> None:
    assert scrubber.scrub_one(text, "train")[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Order number 12345678 and invoice 987654321 are a public matter, list price $49.99.",  # "lic"
        "Order #4155550123 shipped on Tuesday",
        "订单号202311120001234，货号13812345678，12码，199元",
        "SKU A1234567, EAN 4006381333931, size 38, 2024-05-17, 10:30",
    ],
)
def test_what_is_the_shops_own_stays(scrubber: Scrubber, text: str) -> None:
    assert scrubber.scrub_one(text, "train") == (text, {})


def test_entity_that_nobody_knows_is_an_error_and_no_warning() -> None:
    with pytest.raises(ValueError, match=r"no entity 'PHONE_NUMBRE'. Did you mean 'PHONE_NUMBER'"):
        ScrubPolicy(entities={"PHONE_NUMBRE": EntityRule()})


def test_two_people_are_told_apart_and_one_is_told_again() -> None:
    policy = ScrubPolicy(entities={"EMAIL_ADDRESS": EntityRule(action="number")})
    assert scrubbed(policy, "a@x.org wrote to b@x.org, then A@X.org again") == (
        "[EMAIL_ADDRESS_1] wrote to [EMAIL_ADDRESS_2], then [EMAIL_ADDRESS_1] again"
    )


@pytest.mark.parametrize("action", ["hash", "encrypt", "surrogate"])
def test_stand_in_is_the_same_in_every_call_and_another_for_every_tenant(action: str) -> None:
    rule = EntityRule(action=action)  # type: ignore[arg-type]
    text = "来信zhang.wei@qq.com，谢谢"
    one = ScrubPolicy(entities={"EMAIL_ADDRESS": rule}, tenant="one")
    two = ScrubPolicy(entities={"EMAIL_ADDRESS": rule}, tenant="two")
    assert scrubbed(one, text) == scrubbed(one, text) != scrubbed(two, text)
    assert "zhang" not in scrubbed(one, text)


def test_keyed_action_without_a_key_says_where_it_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    policy = ScrubPolicy(entities={"URL": EntityRule(action="hash")}, key_env="SHOP_KEY")
    with pytest.raises(ConfigError, match="SHOP_KEY"):
        Scrubber(policy)


def test_number_after_very_many_that_are_none_is_found(scrubber: Scrubber) -> None:
    assert scrubber.scrub_one("1234567, " * 3_000 + "number 2125550143", "train")[0].endswith("number [PHONE_NUMBER]")


def test_what_one_direction_keeps_is_told_as_a_gap() -> None:
    policy = ScrubPolicy(entities={"EMAIL_ADDRESS": EntityRule(train=Treatment(action="keep")), "URL": EntityRule()})
    assert "e-mail addresses" in policy.not_covered["en"]
    chinese = load_policy("default").model_copy(update={"language": "zh"})
    assert "names of people that no word introduces" in chinese.not_covered["en"]
    assert "names of people that no word introduces" not in chinese.not_covered["zh"]


def test_each_direction_has_its_own_threshold_and_action() -> None:
    rule = EntityRule(action="placeholder", prompt=Treatment(action="mask"), output=Treatment(action="keep"))
    policy = ScrubPolicy(entities={"PHONE_NUMBER": rule, "IP_ADDRESS": EntityRule(prompt=Treatment(threshold=0.9))})
    text = "call 13800138000 from 1.2.3.4"
    assert scrubbed(policy, text, "train") == "call [PHONE_NUMBER] from [IP_ADDRESS]"
    assert scrubbed(policy, text, "prompt") == "call ********000 from 1.2.3.4"
    assert scrubbed(policy, text, "output") == "call 13800138000 from [IP_ADDRESS]"


def test_regions_say_whose_national_numbers_count() -> None:
    everywhere = ScrubPolicy(entities={"PHONE_NUMBER": EntityRule()})
    britain = ScrubPolicy(entities={"PHONE_NUMBER": EntityRule(regions=("GB",))})
    assert scrubbed(everywhere, "手机13800138000") == "手机[PHONE_NUMBER]"
    assert scrubbed(britain, "手机13800138000, dial (212) 555-0123") == "手机13800138000, dial (212) 555-0123"
    assert scrubbed(britain, "dial 07700 900123 or +1 212 555 0123") == "dial [PHONE_NUMBER] or [PHONE_NUMBER]"


def test_what_joins_when_a_value_is_removed_is_read_again() -> None:
    """Without the second look, taking the address out would leave a telephone number that wasn't there before."""
    policy = ScrubPolicy(entities={"EMAIL_ADDRESS": EntityRule(action="redact"), "PHONE_NUMBER": EntityRule()})
    assert scrubbed(policy, "1380013 8000") == "[PHONE_NUMBER]"
    result = scrubbed(policy, "1380013 a@x.org 8000")
    assert not any(char.isdigit() for char in result)
    assert scrubbed(policy, result) == result


def test_surrogates_are_not_taken_for_what_they_stand_for() -> None:
    policy = ScrubPolicy(entities={"EMAIL_ADDRESS": EntityRule(action="surrogate"), "PHONE_NUMBER": EntityRule()})
    result = scrubbed(policy, "me@x.org or 13800138000")
    assert "@example" in result
    assert result.endswith(" or [PHONE_NUMBER]")


def test_answer_in_pieces_is_scrubbed_like_the_whole(scrubber: Scrubber) -> None:
    answer = (
        "Your parcel is on its way to me@x.org. Call us:\n13800138000! 地址是上海市浦东新区张杨路500号。好的，再见。"
        * 9
    )
    cut = Windows()
    parts = [part for place in range(0, len(answer), 7) for part in cut.feed(answer[place : place + 7])] + cut.finish()
    spans = scrubber.find_within(parts)
    streamed = "".join(
        _redacted(part.text, [(span.start, span.end, span.entity) for span in found])
        for part, found in zip(parts, spans, strict=True)
    )
    assert streamed == scrubber.scrub_one(answer, "output")[0]
    assert "13800138000" not in streamed


def _redacted(text: str, spans: list[tuple[int, int, str]]) -> str:
    for start, end, entity in reversed(spans):
        text = f"{text[:start]}[{entity}]{text[end:]}"
    return text


@pytest.mark.slow
def test_empty_text_of_a_fixed_language_is_a_text() -> None:
    scrubber = Scrubber(load_policy("default").model_copy(update={"language": "zh"}))
    assert [one.text.text for one in scrubber.scrub_many(["", "\u200b", "你好"], "train")] == ["", "\u200b", "你好"]


@pytest.mark.slow
def test_names_in_both_languages_and_nothing_in_the_logs() -> None:
    """The whole default policy at DEBUG, Presidio's, spaCy's, onnxruntime's and our loggers alike."""
    code = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from governance.privacy.policy import load_policy
from governance.privacy.scrubber import Scrubber
scrubber = Scrubber(load_policy("default"))
text = "我叫欧阳雪梅，朋友John Zyxwvut在上海市浦东新区张杨路500号3栋201，call 415-555-2671 or zyxwvut@example.com"
print(scrubber.scrub_one(text, "train")[0])
try:
    scrubber.scrub_many([text, None], "train")
except Exception as error:
    print(repr(error), repr(scrubber))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == ("我叫[PERSON]，朋友[PERSON]在[STREET_ADDRESS]，call [PHONE_NUMBER] or [EMAIL_ADDRESS]")
    for secret in ("欧阳", "雪梅", "yxwvut", "张杨", "2671"):
        assert secret not in done.stderr + second
