"""Patterns and check digits, without Presidio: what is found, what is left, and at which score."""

from __future__ import annotations

import re
import sys
from subprocess import run

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.privacy import checks
from governance.privacy.entities import ENTITIES
from governance.privacy.normalise import fold, repair
from governance.privacy.overlaps import Find
from governance.privacy.rules import RULES, all_finds, goods
from governance.privacy.rules.rule import Rule
from governance.privacy.rules.signs import Signs

THRESHOLD = 0.4


def finds(text: str) -> list[Find]:
    signs = Signs(fold(text).text)
    return [find for find in all_finds(RULES, signs) if find.score >= THRESHOLD]


def found(entity: str, text: str) -> set[str]:
    return {text[find.start : find.end] for find in finds(text) if find.entity == entity}


@pytest.mark.parametrize(
    ("entity", "before", "value", "after"),
    [
        ("EMAIL_ADDRESS", "邮箱", "zhang.wei@qq.com", "谢谢"),
        ("EMAIL_ADDRESS", "mail ", "o'neil+shop@mail.example.co.uk", "."),
        ("EMAIL_ADDRESS", "", "josé@example.com", " hat"),
        ("EMAIL_ADDRESS", "x" * 300 + " ", "a@b.io", ""),
        ("CREDIT_CARD", "卡号", "4111111111111111", "已扣款"),
        ("CREDIT_CARD", "card ", "4111 1111 1111 1111", " 25 EUR"),
        ("CREDIT_CARD", "", "5555-5555-5555-4444", ","),
        ("CREDIT_CARD", "amex ", "3782 822463 10005", ""),
        ("CREDIT_CARD", "2-series ", "2223003122003222", ""),
        ("CREDIT_CARD", "UnionPay ", "6222021234567890123", " (wrong digit, but the context vouches)"),
        ("IBAN_CODE", "to ", "DE89 3704 0044 0532 0130 00", " 2 days ago"),
        ("IBAN_CODE", "iban ", "GB29NWBK60161331926819", ""),
        ("IBAN_CODE", "账号", "de89370400440532013000", "谢谢"),
        ("IP_ADDRESS", "IP是", "192.168.1.20", "吗"),
        ("IP_ADDRESS", "from ", "fe80::1ff:fe23:4567:890a", " and"),
        ("PHONE_NUMBER", "手机", "13812345678", "谢谢"),
        ("PHONE_NUMBER", "+", "86 138-1234-5678", ""),
        ("PHONE_NUMBER", "座机", "010-62345678", "打不通"),
        ("PHONE_NUMBER", "call ", "(212) 555-0123 ext. 12", " now"),
        ("PHONE_NUMBER", "", "+1-415-555-2671", ""),
        ("PHONE_NUMBER", "My phone: ", "3904614352", ""),
        ("US_SSN", "my SSN ", "078-05-1120", ""),
        ("US_SSN", "ssn ", "219099999", ""),
        ("CN_RESIDENT_ID", "身份证", "11010519491231002X", "号"),
        ("CN_RESIDENT_ID", "", "110105 19491231 0021", " 一位打错"),
        ("CN_RESIDENT_ID", "身份证号", "110105491231002", ""),
        ("WECHAT_ID", "微信号：", "wx_abc123", "，谢谢"),
        ("WECHAT_ID", "加我微信", "zhang-wei88", ""),
        ("QQ_ID", "QQ：", "123456789", "，在"),
        ("QQ_ID", "我的抠抠一直没换，还是 ", "149452085", " 在线秒回"),
        ("WECHAT_ID", "朋友圈有实拍，想看就加我，名字好记：", "coffee_mei88", ""),
        ("ALIPAY_ID", "退款直接打钱到 ", "moonhan19", " 就行，花呗也可以"),
        ("TRACKING_NUMBER", "EMS", "EP123456789CN", "到哪了"),
        ("STREET_ADDRESS", "i live at ", "12 oak road", ", please leave it"),
        ("STREET_ADDRESS", "send it to ", "12 may street, london", ""),
        ("STREET_ADDRESS", "Deliver to Jan, ", "12 Church Lane, York YO1 7HT", ""),
        ("STREET_ADDRESS", "my postcode is ", "SW1A1AA", ""),
        ("STREET_ADDRESS", "new adress from monday ", "190 flora mews, london", ", can u update"),
        ("STREET_ADDRESS", "Allison May\n", "4462 Meghan Springs, Christinetown, NY 13388", ""),
        ("TRACKING_NUMBER", "亲 ", "SF1234567890123", " ?"),
        ("TRACKING_NUMBER", "亲 给您发", "78399888000621", "了哈"),
        (
            "US_SSN",
            "For the background check I need your number again, please. You wrote ",
            "577589807",
            ", is that right?",
        ),
        ("URL", "看", "https://shop.example.com/u/zhang?id=7", "。"),
        ("URL", "at ", "www.example.com/me", "."),
        ("STREET_ADDRESS", "to ", "123 Main Street Apt 4B, Springfield, IL 62704", " please"),
        ("STREET_ADDRESS", "at ", "9 N 42nd St", ""),
        ("STREET_ADDRESS", "", "PO Box 1234, Salem, OR 97301", ""),
        ("PERSON", "Dear Ms. ", "Garcia", ", hello"),
    ],
)
def test_value_is_found_whole_beside_any_script(entity: str, before: str, value: str, after: str) -> None:
    expected = value if not before.endswith("+") else "+" + value
    assert expected in found(entity, before + value + after)


@pytest.mark.parametrize(
    "text",
    [
        "Order number 4155550123 has not moved",
        "order #4111111111111111",
        "订单号13812345678",
        "SKU 123456-78, size 10, $49.99",
        "5'4\" 130 lbs, 36-28-38, 32x34",
        "app v2.4.1.3 and 12:30:45",
        "10-14 business days, 2024-05-17",
        "微信支付失败了",
        "wechat pay failed",
        "cute.so soft.It fits",
        "see a::b and x@y",
        "666-12-3456 or 123-00-4567",
        "11010519493231002X",  # no 32nd of a 49th month
        "I bought 2 Long Sleeve tops",
        "GB12 ABCD is a style",
        "0.0.0.0 :: nothing",
    ],
)
def test_shop_text_is_left_alone(text: str) -> None:
    assert finds(text) == []


def test_full_width_and_invisible_characters_do_not_hide_a_number() -> None:
    text = "手机１３８\u200b１２３４\u2011５６７８。"
    folded = fold(text)
    [find] = {(find.start, find.end) for find in all_finds(RULES, Signs(folded.text)) if find.score >= THRESHOLD}
    assert folded.span(*find) == (2, text.index("。"))


def test_context_word_must_be_whole_in_latin_script() -> None:
    assert found("US_SSN", "ssn 219099999")
    assert not found("US_SSN", "lessness 219099999")


def test_every_entity_is_found_by_some_rule() -> None:
    assert {rule.entity for rule in RULES} == set(ENTITIES)


def luhn_by_the_book(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


@given(st.from_regex(r"[0-9]{1,19}", fullmatch=True).filter(str.isascii))
def test_luhn_agrees_with_the_textbook(digits: str) -> None:
    assert checks.luhn(digits) == luhn_by_the_book(digits)


def test_resident_id_check_sees_every_single_wrong_digit() -> None:
    valid = "11010519491231002X"
    assert checks.resident_id(valid) == 18
    for place in range(17):
        for digit in "0123456789":
            wrong = valid[:place] + digit + valid[place + 1 :]
            assert (checks.resident_id(wrong) == 18) == (wrong == valid)


def test_mistyped_iban_counts_only_beside_a_word_that_names_it() -> None:
    assert found("IBAN_CODE", "iban GB29NWBK60161331926818") == {"GB29NWBK60161331926818"}
    assert found("IBAN_CODE", "code GB29NWBK60161331926818") == set()


@pytest.mark.parametrize(
    ("prefix", "length", "issued"),
    [
        ("50", 12, True),
        ("67", 12, True),
        ("41", 12, False),
        ("2221", 16, True),
        ("2720", 16, True),
        ("2721", 16, False),
        ("62", 19, True),
        ("9", 16, False),
    ],
)
def test_issuer_ranges_of_cards(prefix: str, length: int, issued: bool) -> None:
    body = prefix.ljust(length - 1, "7")
    number = next(body + digit for digit in "0123456789" if luhn_by_the_book(body + digit))
    assert (checks.card(number) == length) == issued


@given(st.text(alphabet=st.characters(), max_size=30), st.sampled_from(["\ud800", "\udfff", "\ud83d\ude00"]))
def test_repaired_text_is_always_utf8(text: str, broken: str) -> None:
    repair(text + broken + text).encode("utf-8")


def test_pairs_of_surrogates_become_the_character_they_mean() -> None:
    assert repair("a\ud83d\ude00b") == "a\U0001f600b"


def test_long_hostile_texts_finish() -> None:
    for unit in (
        "1",
        "12-",
        "1234 ",
        "a!",
        "a@",
        "1 A ",
        "1a:",
        "GB12 ABCD ",
        "http://",
        "微信",
        "(212) ",
        "order ",
        "@aa.",
    ):
        text = unit * (40_000 // len(unit)) + "@"
        assert all(find.end <= len(text) for find in all_finds(RULES, Signs(text)))


def test_rules_need_no_heavy_library() -> None:
    heavy = "('torch', 'presidio_analyzer', 'spacy')"
    code = f"import sys, governance.privacy.rules; print([name for name in {heavy} if name in sys.modules])"
    assert run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_no_pattern_uses_word_edges_that_fail_beside_han() -> None:
    assert not any(re.search(r"\\b", rule.pattern.pattern) for rule in RULES if isinstance(rule, Rule))


@pytest.mark.parametrize("between", [" ", " so soft, it fits. ", "，"])
@pytest.mark.parametrize(
    ("placeholder", "number"),
    [
        ("[CREDIT_CARD]", "1234567890123"),
        ("[CREDIT_CARD_2]", "1234567890123"),
        ("[PHONE_NUMBER]", "3904614352"),
        ("[US_SSN]", "219099999"),
        ("[IBAN_CODE]", "GB29NWBK60161331926818"),
    ],
)
def test_placeholder_is_no_context_word_on_either_side(placeholder: str, number: str, between: str) -> None:
    assert finds(f"{placeholder}{between}{number}") == []
    assert finds(f"{number}{between}{placeholder}") == []


def test_context_word_beside_a_placeholder_still_counts() -> None:
    assert found("CREDIT_CARD", "card [PERSON] 1234567890123") == {"1234567890123"}
    assert found("CREDIT_CARD", "卡号[CREDIT_CARD]，1234567890123") == {"1234567890123"}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("订单号78399888000621什么时候发货", "TRACKING_NUMBER"),
        ("加我微信聊聊" + "，这款很好看" * 30 + "，新的coat_2024", "WECHAT_ID"),
        ("QQ客服在线，订单号149452085麻烦查一下", "QQ_ID"),
        ("加微信问过了，款号coat_2024还有吗", "WECHAT_ID"),
        ("微信支付成功了，型号galaxy-s24对吗", "WECHAT_ID"),
        ("花呗可以分期买iphone15吗", "ALIPAY_ID"),
        ("这件衣服的条形码6901234567892对吗", "TRACKING_NUMBER"),
        ("支付流水号4200001234202405，什么时候发货", "TRACKING_NUMBER"),
        ("SS24 collection, order number 577589807 is missing two tops", "US_SSN"),
        ("Follow us on social! Item 577589807 is back", "US_SSN"),
        ("Late opening on 13 Aug at Market Street, and on Aug 14 until Church Lane closes", "STREET_ADDRESS"),
        ("QQ糖一箱" + "，这款很好吃" * 12 + "，一共149452085", "QQ_ID"),
        ("our W-9 form is attached. " + "All sizes are in stock. " * 9 + "It has sold 577589807 times", "US_SSN"),
    ],
)
def test_words_far_away_or_a_shops_own_number_give_no_account(text: str, entity: str) -> None:
    assert not found(entity, text)


def test_whether_a_text_sells_is_asked_once_however_many_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(goods, "sells", lambda text: bool(asked.append(text)))
    assert len(found("PERSON", "sent by Fatima, by Priya and by Gemma")) == 3
    assert len(asked) == 1
