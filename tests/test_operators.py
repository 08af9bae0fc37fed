"""Operators: what each makes of a find, what it keeps and what it gives away, and that tokens open to the value."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import ConfigError, ScrubError
from governance.keys import Key
from governance.privacy.entities import ENTITIES
from governance.privacy.overlaps import PLACEHOLDER
from governance.privacy.policy import KEYED, Action
from governance.privacy.standins.canonical import canonical
from governance.privacy.standins.masks import mask
from governance.privacy.standins.operators import ACTIONS, Operators, Piece
from governance.privacy.standins.surrogates import surrogate

KEY = Key(hashlib.sha256(b"the shop's").digest())
SHOP = Operators(KEY, "店铺")
entities = st.sampled_from(sorted(ENTITIES))
values = st.text(min_size=1, max_size=60)


def one(entity: str, value: str, action: Action, operators: Operators = SHOP) -> str:
    [stand_in] = operators.stand_ins([Piece(entity, value, action)])
    return stand_in


def test_labels_and_removal() -> None:
    pieces = [Piece("PERSON", "张伟", "placeholder"), Piece("URL", "www.a.cn", "redact")]
    assert Operators(None, "a").stand_ins(pieces) == ["[PERSON]", ""]


def test_numbers_count_the_values_of_each_entity_by_first_appearance() -> None:
    said = [
        ("PERSON", "张 伟"),
        ("PERSON", "John Smith"),
        ("CREDIT_CARD", "4111 1111 1111 1111"),
        ("PERSON", "张伟"),
        ("PERSON", "JOHN  SMITH"),
        ("CREDIT_CARD", "４１１１-1111-1111-1111"),
        ("PERSON", "张玮"),
        ("CREDIT_CARD", "4000 0000 0000 0002"),
    ]
    stand_ins = Operators(None, "a").stand_ins([Piece(entity, value, "number") for entity, value in said])
    people, cards = [1, 2, None, 1, 2, None, 3, None], [None, None, 1, None, None, 1, None, 2]
    assert stand_ins == [
        f"[PERSON_{person}]" if person else f"[CREDIT_CARD_{card}]" for person, card in zip(people, cards, strict=True)
    ]
    assert SHOP.stand_ins([Piece("PERSON", "John Smith", "number")]) == ["[PERSON_1]"]  # each text counts anew


@given(st.lists(st.tuples(entities, values), max_size=12))
def test_numbers_agree_exactly_where_values_do(said: list[tuple[str, str]]) -> None:
    stand_ins = SHOP.stand_ins([Piece(entity, value, "number") for entity, value in said])
    same = {(entity, canonical(entity, value)) for entity, value in said}
    assert len(set(stand_ins)) == len(same)
    assert len(
        {(label, entity, canonical(entity, value)) for label, (entity, value) in zip(stand_ins, said, strict=True)}
    ) == len(same)


@given(entities, values)
def test_every_placeholder_is_one_that_the_scrubber_knows(entity: str, value: str) -> None:
    for action in ("placeholder", "number", "hash", "encrypt"):
        stand_in = one(entity, value, action)  # type: ignore[arg-type]
        assert "".join(match[0] for match in PLACEHOLDER.finditer(stand_in)) == stand_in != ""


def test_a_hash_is_64_bits_of_hmac_over_entity_and_value() -> None:
    subkey = KEY.derive("hash", "店铺")
    digest = hmac.new(subkey, "PERSON\0张伟".encode(), "sha256").hexdigest()[:16]
    assert one("PERSON", "张 伟", "hash") == f"[PERSON#{''.join(chr(97 + int(d, 16)) for d in digest)}]"
    assert one("PERSON", "张伟", "hash")[8:] != one("WECHAT_ID", "张伟", "hash")[11:]


@given(entities, values)
def test_tokens_open_to_the_very_value_and_equal_values_have_equal_tokens(entity: str, value: str) -> None:
    token = one(entity, value, "encrypt")
    assert SHOP.decrypt_all(f"订单 {token}, then {token}。") == f"订单 {value}, then {value}。"
    assert token == one(entity, value, "encrypt", Operators(KEY, "店铺"))


@given(st.text(st.characters(), min_size=1, max_size=40))
def test_even_lone_surrogates_come_back(value: str) -> None:
    assert SHOP.decrypt_all(one("PERSON", value, "encrypt")) == value


@pytest.mark.parametrize("length", [1971, 1972, 1973, 5000])
def test_a_long_value_is_several_tokens(length: int) -> None:
    value = ("https://例子.cn/" + "a1b2" * length)[:length]
    tokens = one("URL", value, "encrypt")
    assert PLACEHOLDER.sub("", tokens) == "" and SHOP.decrypt_all(f"<{tokens}>") == f"<{value}>"


@pytest.mark.parametrize("value", ["张伟" * 1000, "x" + "张" * 2000, "ab😀" * 900, "é\ud800" * 1500])
def test_a_long_value_is_never_cut_within_a_character(value: str) -> None:
    tokens = one("URL", value, "encrypt")
    assert SHOP.decrypt_all(tokens) == value
    alone = [SHOP.decrypt_all(match[0]) for match in PLACEHOLDER.finditer(tokens)]
    assert len(alone) == -(-len(value.encode("utf-8", "surrogatepass")) // 1972) and "".join(alone) == value


def test_a_token_of_other_bytes_is_refused_without_a_trace_of_them() -> None:
    data = "张伟".encode()[:-1]
    sealed = SHOP._sealed("PERSON", data).hex()
    token = f"[PERSON~{''.join(chr(97 + int(digit, 16)) for digit in sealed)}]"
    with pytest.raises(ScrubError, match="character 2: expected a PERSON token of a text in UTF-8") as caught:
        SHOP.decrypt_all(f"见：{token}")
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "张" not in str(caught.value)


def test_every_nonce_belongs_to_one_value() -> None:
    """Else GCM would give values away: 20,000 values, two entities."""
    tokens = SHOP.stand_ins(
        [Piece(entity, f"1380013{n:04d}", "encrypt") for n in range(10_000) for entity in ("PHONE_NUMBER", "QQ_ID")]
    )
    nonces = {re.sub(r".*~", "", token)[:24] for token in tokens}
    assert len(nonces) == len(set(tokens)) == 20_000


@given(entities, values, st.integers(0, 10**6))
def test_an_altered_token_opens_to_nothing(entity: str, value: str, place: int) -> None:
    token = one(entity, value, "encrypt")
    start = token.index("~") + 1
    at = start + place % (len(token) - 1 - start)
    altered = token[:at] + chr(97 + (ord(token[at]) - 96) % 16) + token[at + 1 :]
    with pytest.raises(ScrubError, match=rf"character 2: expected a {entity} token .* use the key"):
        SHOP.decrypt_all(f"> {altered}")


@pytest.mark.parametrize(
    "operators",
    [Operators(KEY, "another shop"), Operators(Key(hashlib.sha256(b"stolen").digest()), "店铺")],
)
def test_another_tenant_or_key_opens_and_makes_nothing_alike(operators: Operators) -> None:
    token = one("PERSON", "张伟", "encrypt")
    with pytest.raises(ScrubError, match="another's or an altered one"):
        operators.decrypt_all(token)
    for action in sorted(KEYED):
        assert one("EMAIL_ADDRESS", "zw@qq.com", action) != one("EMAIL_ADDRESS", "zw@qq.com", action, operators)


def test_a_token_moved_to_another_entity_or_typed_by_hand_is_refused() -> None:
    token = one("PHONE_NUMBER", "13800138000", "encrypt")
    for forged in (token.replace("PHONE_NUMBER", "QQ_ID"), f"[PERSON~{'a' * 58}]", f"[PERSON~{'a' * 59}]"):
        with pytest.raises(ScrubError, match="character 2") as caught:
            SHOP.decrypt_all(f"见：{forged}")
        assert "13800138000" not in str(caught.value)


def test_other_placeholders_and_text_stay_when_tokens_are_opened() -> None:
    text = "[PERSON] [PERSON_2] [PERSON#abcdefghijklmnop] [~a] PERSON~ab"
    assert Operators(None, "a").decrypt_all(text) == text


def test_a_surrogate_uses_the_tenants_subkey() -> None:
    expected = surrogate("PERSON", "张伟", KEY.derive("surrogate", "店铺"))
    assert one("PERSON", "张伟", "surrogate") == expected != "张伟"


@pytest.mark.parametrize("action", sorted(KEYED))
def test_a_keyed_action_without_a_key_is_refused(action: Action) -> None:
    with pytest.raises(ScrubError, match=f"'{action}' needs a key, found none; set the variable") as caught:
        Operators(None, "a").stand_ins([Piece("PERSON", "张伟", action)])
    assert "张伟" not in str(caught.value)


@pytest.mark.parametrize("action", ["keep", "pseudonymise", "", "Redact"])
def test_an_unknown_action_is_refused(action: Action) -> None:
    with pytest.raises(ConfigError, match=f"PERSON: no operator '{action}'.*placeholder"):
        Piece("PERSON", "张伟", action)


def test_an_unknown_entity_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no entity 'PERSN'\. Did you mean 'PERSON'"):
        Piece("PERSN", "张伟", "mask")


def test_no_repr_shows_a_value_or_a_key() -> None:
    assert repr(Piece("PERSON", "张伟", "mask")) == "Piece(PERSON, mask)"
    assert re.fullmatch(r"<.*Operators object at 0x\w+>", repr(SHOP))


@given(st.lists(st.tuples(entities, values, st.sampled_from(ACTIONS)), max_size=8))
def test_operators_are_pure_and_answer_for_each_piece(said: list[tuple[str, str, Action]]) -> None:
    pieces = [Piece(*piece) for piece in said]
    assert SHOP.stand_ins(pieces) == Operators(KEY, "店铺").stand_ins(pieces) and len(SHOP.stand_ins(pieces)) == len(
        said
    )


@pytest.mark.parametrize(
    ("entity", "value", "masked"),
    [
        ("CREDIT_CARD", "4111 1111 1111 1234", "**** **** **** 1234"),
        ("CREDIT_CARD", "6222021234567890123", "***************0123"),
        ("PHONE_NUMBER", "13812345678", "********678"),
        ("PHONE_NUMBER", "+86 138-1234-5678", "+** ***-****-5678"),
        ("EMAIL_ADDRESS", "zhang.wei@qq.com", "z****.***@**.com"),
        ("EMAIL_ADDRESS", "zhang.weilong@gmail.com", "z****.*******@g****.com"),
        ("EMAIL_ADDRESS", "a@b.cn", "a@*.**"),
        ("PERSON", "John Smith", "J*** S****"),
        ("PERSON", "张小明", "张**"),
        ("PERSON", "张伟", "**"),
        ("PERSON", "王先生", "王**"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "DE** **** **** **** **30 00"),
        ("CN_LICENSE_PLATE", "浙A·12345", "浙*·*****"),
        ("CN_RESIDENT_ID", "11010519491231002X", "*" * 18),
        ("US_SSN", "078-05-1120", "***-**-****"),
        ("QQ_ID", "123456789", "*" * 9),
        ("URL", "https://www.shop.cn/u/zhang", "https://***.****.**/*/*****"),
        ("STREET_ADDRESS", "1200 Winterbourne Avenue, Dayton, OH 45402", "**** ************ ******, Dayton, ** *****"),
        ("STREET_ADDRESS", "浙江省杭州市西湖区文三路123号5幢301室", "浙江省杭州市" + "*" * 16),
        ("STREET_ADDRESS", "文三路123号", "*******"),
        ("TRACKING_NUMBER", "SF1234567890123", "***********0123"),
    ],
)
def test_masks_keep_what_people_know_a_value_by(entity: str, value: str, masked: str) -> None:
    assert mask(entity, value) == masked == one(entity, value, "mask")


ALPHABET = st.sampled_from("Az09张伟省市杭州区@. -,:/·é한１＠")


@given(entities, st.one_of(st.text(ALPHABET, min_size=1, max_size=40), values))
def test_a_mask_never_keeps_more_than_a_third_of_letters_and_digits(entity: str, value: str) -> None:
    masked = mask(entity, value)
    telling = [place for place, char in enumerate(value) if char.isalnum()]
    assert len(masked) == len(value)
    assert sum(masked[place] == value[place] for place in telling) <= len(telling) / 3
    assert all(masked[place] in ("*", char) for place, char in enumerate(value))
    assert not any(unicodedata.combining(char) for char in masked)
