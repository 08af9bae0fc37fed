"""Surrogates: valid by a second implementation, of their value's form, nobody's, keyed, and the same everywhere."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import random
import re
import string
import subprocess
import sys
from collections.abc import Callable
from datetime import date

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from presidio_analyzer.predefined_recognizers import CryptoRecognizer, IbanRecognizer

from governance.privacy.entities import ENTITIES
from governance.privacy.standins.canonical import canonical
from governance.privacy.standins.draws import Draws
from governance.privacy.standins.surrogates import surrogate
from governance.privacy.standins.words import words

KEY = hashlib.sha256(b"one tenant").digest()
OTHER = hashlib.sha256(b"another tenant").digest()
MANY = 10_000

EXAMPLES = {
    "PERSON": [
        "John Smith",
        "Dr. Ana O'Neil-Jones",
        "SMITH, anna",
        "张伟",
        "欧阳娜娜",
        "王先生",
        "阿卜杜拉·买买提",
        "Иван",
    ],
    "STREET_ADDRESS": ["12 Main St Apt 4B, Springfield, IL 62704", "P.O. Box 12", "杭州市西湖区文三路123号5幢301室"],
    "EMAIL_ADDRESS": [
        "zhang.wei@qq.com",
        "o'neil+shop@mail.example.co.uk",
        "ＺＷ＠１６３．ｃｏｍ",
        "john [at] mail (dot) com",
    ],
    "PHONE_NUMBER": [
        "+86 138-1234-5678",
        "(212) 555-2368 ext. 12",
        "020 7946 0018",
        "0571-87654321转8001",
        "+33 6 12 34 56 78",
    ],
    "CREDIT_CARD": [
        "4111 1111 1111 1111",
        "3782 822463 10005",
        "6222021234567890123",
        "４１１１１１１１１１１１１１１１",
    ],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00", "gb29nwbk60161331926819", "BE68539007547034"],
    "CRYPTO": ["1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "0x" + "aB" * 20],
    "IP_ADDRESS": ["8.8.8.8", "fe80::1ff:fe23:4567:890a"],
    "MAC_ADDRESS": ["a4:5e:60:c2:11:0f", "A4-5E-60-C2-11-0F", "a45e.60c2.110f"],
    "URL": ["https://www.shop.cn/u/zhang?id=3", "www.zhang-wei.cn"],
    "US_SSN": ["078-05-1120", "219099999"],
    "UK_NINO": ["AB 12 34 56 C", "ab123456c"],
    "PASSPORT": ["X1234567", "123456789"],
    "CN_RESIDENT_ID": ["11010519491231002X", "110105 19491231 0021", "110105491231002"],
    "CN_COMPANY_ID": ["91350100M000100Y43"],
    "CN_PASSPORT": ["E12345678", "EA1234567"],
    "CN_TRAVEL_PERMIT": ["H1234567890", "C12345678"],
    "CN_LICENSE_PLATE": ["浙A·12345", "粤BD12345", "粤Z1234港", "使123456"],
    "WECHAT_ID": ["wxid_abc123", "zhang-wei88", "13812345678"],
    "QQ_ID": ["123456789"],
    "ALIPAY_ID": ["2088123412341234", "zw@qq.com", "zhang_wei88"],
    "TRACKING_NUMBER": ["SF1234567890123", "EA123456785CN", "1234567890123"],
}
FREE = ("PERSON", "STREET_ADDRESS", "EMAIL_ADDRESS", "URL", "IP_ADDRESS", "CRYPTO")  # lengths of their own
CASES = [(entity, value) for entity, values in EXAMPLES.items() for value in values]


def numbers(shape: str, seed: str, count: int) -> list[str]:
    """Random values of a shape: 9 for a digit, A for a letter."""
    rng = random.Random(seed)
    pools = {"9": string.digits, "A": string.ascii_uppercase}
    return ["".join(rng.choice(pools.get(char, char)) for char in shape) for _ in range(count)]


def made(entity: str, shape: str, count: int = MANY) -> list[tuple[str, str]]:
    """Values of a shape with their surrogates."""
    return [(value, surrogate(entity, value, KEY)) for value in numbers(shape, entity + shape, count)]


def form(value: str) -> str:
    """A value with its digits and letters made alike: separators, lengths and case are left."""
    return "".join("9" if c.isdigit() else "A" if c.isupper() else "a" if c.islower() else c for c in value)


def test_every_entity_has_examples_here() -> None:
    assert set(EXAMPLES) == set(ENTITIES)


@pytest.mark.parametrize(("entity", "value"), CASES)
def test_a_surrogate_is_another_value_and_the_same_one_each_time(entity: str, value: str) -> None:
    stand_in = surrogate(entity, value, KEY)
    assert canonical(entity, stand_in) != canonical(entity, value) and stand_in == surrogate(entity, value, KEY)
    assert stand_in != f"[{entity}]"


@pytest.mark.parametrize(
    ("entity", "spellings"),
    [
        ("CREDIT_CARD", ["4111 1111 1111 1111", "4111-1111-1111-1111", "４１１１１１１１１１１１１１１１"]),
        ("PHONE_NUMBER", ["+86 138-1234-5678", "13812345678", "0086 13812345678", "138 1234 5678"]),
        ("PHONE_NUMBER", ["+1 (212) 736-5000", "212.736.5000", "1-212-736-5000", "12127365000"]),
        ("PERSON", ["John Smith", "JOHN SMITH", "john  smith", "Ｊｏｈｎ Ｓｍｉｔｈ"]),
        ("PERSON", ["张 伟", "张伟", "张\u200b伟"]),
        ("EMAIL_ADDRESS", ["Zhang.Wei@QQ.com", "zhang.wei@qq.com"]),
        ("CN_RESIDENT_ID", ["11010519491231002x", "110105 19491231 002X"]),
        ("IP_ADDRESS", ["2001:DB8:0:0::1", "2001:db8::0001"]),
    ],
)
def test_spellings_of_one_value_have_spellings_of_one_surrogate(entity: str, spellings: list[str]) -> None:
    assert len({canonical(entity, surrogate(entity, value, KEY)) for value in spellings}) == 1


@pytest.mark.parametrize(
    ("entity", "one", "two"),
    [
        ("IP_ADDRESS", "1.12.3.4", "11.2.3.4"),
        ("EMAIL_ADDRESS", "a.bc@x.org", "ab.c@x.org"),
        ("URL", "https://x.org/aB", "https://x.org/ab"),
        ("PERSON", "张伟", "张玮"),
        ("PHONE_NUMBER", "+44 20 7946 0018", "+86 20 7946 0018"),
    ],
)
def test_what_tells_two_values_apart_is_not_folded_away(entity: str, one: str, two: str) -> None:
    assert canonical(entity, one) != canonical(entity, two)


@pytest.mark.parametrize(("entity", "value"), CASES)
def test_two_tenants_have_different_surrogates(entity: str, value: str) -> None:
    if entity in ("IP_ADDRESS", "MAC_ADDRESS", "PHONE_NUMBER"):  # spaces so small that one key in a few agrees
        keys = [hashlib.sha256(bytes([place])).digest() for place in range(20)]
        assert len({surrogate(entity, value, key) for key in keys}) > 10
    else:
        assert surrogate(entity, value, KEY) != surrogate(entity, value, OTHER)


@pytest.mark.parametrize(("entity", "value"), [case for case in CASES if case[0] not in FREE and "@" not in case[1]])
def test_numbers_keep_grouping_case_and_width(entity: str, value: str) -> None:
    stand_in = surrogate(entity, value, KEY)
    assert [c for c in stand_in if not c.isalnum()] == [c for c in value if not c.isalnum()]
    assert len(stand_in) == len(value) and stand_in.isascii() == value.isascii()
    assert not (value.islower() and any(c.isupper() for c in stand_in))


def test_another_process_with_another_hash_seed_makes_the_same_ones() -> None:
    code = (
        "import sys, json; sys.stdout.reconfigure(encoding='utf-8');"
        "from governance.privacy.standins.surrogates import surrogate;"
        f"print(json.dumps([surrogate(e, v, bytes.fromhex('{KEY.hex()}')) for e, v in json.load(sys.stdin)]))"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(CASES),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "2")
    ]
    assert [json.loads(output) for output in outputs] == [[surrogate(*case, KEY) for case in CASES]] * 2


@pytest.mark.parametrize("shape", ["4999999999999999", "379999999999999", "6299999999999999999", "3699999999 9999"])
def test_cards_are_luhn_valid_and_of_no_scheme(shape: str) -> None:
    """Against the check written the other way round: from the right, doubling by a table."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    for value, stand_in in made("CREDIT_CARD", shape, MANY // 4):
        digits = [int(char) for char in stand_in.replace(" ", "")]
        total = sum(doubled[d] if place % 2 else d for place, d in enumerate(reversed(digits)))
        assert total % 10 == 0 and form(stand_in) == form(value) and stand_in[:2] in ("59", "33")


@pytest.mark.parametrize(
    "shape",
    ["DE99999999999999999999", "GB99AAAA99999999999999", "FR9999999999999999999AAAA99"[:27], "BE99999999999999"],
)
def test_ibans_are_valid_by_presidio_and_of_no_bank(shape: str) -> None:
    recogniser = IbanRecognizer()
    for _, stand_in in made("IBAN_CODE", shape, MANY // 4):
        assert recogniser.validate_result(stand_in) and stand_in[:2] == shape[:2]
        assert stand_in[4:8] in ("0000", "XXXX") if shape[:2] != "BE" else stand_in.endswith("00")


def test_resident_ids_are_valid_dated_and_of_no_province() -> None:
    provinces = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66)}
    weights = [2 ** (17 - place) % 11 for place in range(17)]
    for _, stand_in in made("CN_RESIDENT_ID", "110105194912310999"):
        total = sum(weight * int(digit) for weight, digit in zip(weights, stand_in, strict=False))
        last = 10 if stand_in[17] == "X" else int(stand_in[17])
        assert (total + last) % 11 == 1
        assert date(1940, 1, 1) <= date.fromisoformat(stand_in[6:14]) < date(2006, 1, 1)
        assert int(stand_in[:2]) not in provinces | {71, 81, 82, 83} and stand_in[0] in "12345678"


def test_old_resident_ids_keep_a_date_too() -> None:
    for _, stand_in in made("CN_RESIDENT_ID", "110105490101999"):
        assert date.fromisoformat(f"19{stand_in[6:12]}") and len(stand_in) == 15


def test_company_ids_have_both_check_characters() -> None:
    signs = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    for value, stand_in in made("CN_COMPANY_ID", "913501009999999999"):
        weights = [1]
        while len(weights) < 17:
            weights.append(weights[-1] * 3 % 31)
        total = sum(weight * signs.index(sign) for weight, sign in zip(weights, stand_in, strict=False))
        assert (31 - total % 31) % 31 == signs.index(stand_in[17]) and stand_in[:2] == value[:2]
        body = [int(c) if c.isdigit() else ord(c) - 55 for c in stand_in[8:16]]
        rest = 11 - sum(w * v for w, v in zip((3, 7, 9, 10, 5, 8, 4, 2), body, strict=True)) % 11
        assert {10: "X", 11: "0"}.get(rest, str(rest)) == stand_in[16]


def test_social_security_numbers_are_never_issued_nor_taxpayers() -> None:
    for _, stand_in in made("US_SSN", "999-99-9999"):
        area, group, serial = stand_in.split("-")
        assert area[0] == "9" and 1 <= int(group) <= 49 and serial != "0000"


def test_national_insurance_prefixes_are_never_allocated() -> None:
    prefixes = {stand_in[:2] for _, stand_in in made("UK_NINO", "AA 99 99 99 C")}
    assert prefixes == {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


@pytest.mark.parametrize("start", ["1", "3", "bc1q", "bc1p"])
def test_wallets_are_valid_by_presidio(start: str) -> None:
    recogniser = CryptoRecognizer()
    values = {
        "1": "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf",
        "3": "3J98t1WpEZ73CNmQviecrnyiWrnqRhWN",
        "bc1q": "bc1q" + "x" * 38,
    }
    base = values.get(start, "bc1p" + "x" * 58)
    for place in range(500):
        value = base if start.startswith("bc") else f"{base}{place // 58 % 9 + 1}{place % 9 + 1}"
        key = hashlib.sha256(bytes([place % 256, place // 256])).digest()
        stand_in = surrogate("CRYPTO", value, key)
        assert recogniser.validate_result(stand_in), stand_in
        assert stand_in.startswith(start[:3]) and len(stand_in) == len(value)


def test_addresses_on_the_network_are_kept_for_documentation() -> None:
    rng = random.Random(1)
    nets = [ipaddress.ip_network(net) for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")]
    for bits, kind in ((32, ipaddress.IPv4Address), (128, ipaddress.IPv6Address)):
        for _ in range(1000):
            stand_in = ipaddress.ip_address(surrogate("IP_ADDRESS", str(kind(rng.getrandbits(bits))), KEY))
            assert any(stand_in in net for net in nets) and isinstance(stand_in, kind)
    for _ in range(1000):
        stand_in_mac = surrogate("MAC_ADDRESS", ":".join(f"{rng.getrandbits(8):02x}" for _ in range(6)), KEY)
        assert re.fullmatch(r"00:00:5e:00:53:[0-9a-f]{2}", stand_in_mac.lower())


@pytest.mark.parametrize("entity", ["EMAIL_ADDRESS", "URL"])
def test_names_on_the_network_are_reserved(entity: str) -> None:
    for value in EXAMPLES[entity]:
        stand_in = surrogate(entity, value, KEY).translate({code + 0xFEE0: code for code in range(33, 127)})
        host = stand_in.split("@")[1] if entity == "EMAIL_ADDRESS" else re.sub(r"^\w+://", "", stand_in).split("/")[0]
        assert re.search(r"(?:^|\.)example\.(?:com|net|org)$", host.lower())


def test_telephone_numbers_of_all_regions_reach_nobody() -> None:
    """libphonenumber's example of every region and kind; those with a 0 of their own are told in the docstring."""
    exempt = {39, 225, 241, 242, 378, 379, 598, 992}
    kinds = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
    style = phonenumbers.PhoneNumberFormat.INTERNATIONAL
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        for kind in kinds:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is None or example.country_code in exempt | {1, 44}:
                continue
            value = phonenumbers.format_number(example, style)
            stand_in = surrogate("PHONE_NUMBER", value, KEY)
            assert form(stand_in) == form(value) and stand_in.split()[0] == value.split()[0], value
            parsed = phonenumbers.parse(stand_in)
            assert not phonenumbers.is_valid_number(parsed), (region, stand_in)


@pytest.mark.parametrize("shape", ["+1 999-999-9999", "(999) 999-9999", "999.999.9999"])
def test_american_numbers_are_fiction(shape: str) -> None:
    rng = random.Random(shape)
    for _ in range(2000):
        value = "".join(rng.choice("23456789") if char == "9" else char for char in shape)
        digits = re.sub(r"\D", "", surrogate("PHONE_NUMBER", value, KEY))[-10:]
        assert re.fullmatch(r"[2-9][0-8]\d55501\d\d", digits) and digits[1:3] != "11"


@pytest.mark.parametrize(
    "value", ["020 7946 1234", "07911 123456", "+44 (0)20 7123 4567", "+44 7911 123456", "0113 234 5678"]
)
def test_british_numbers_are_drama(value: str) -> None:
    stand_in = surrogate("PHONE_NUMBER", value, KEY)
    national = re.sub(r"\D", "", stand_in.replace("+44", "").replace("(0)", "")).lstrip("0")
    assert re.fullmatch(
        r"7700900\d{3}|11[3-8]4960\d{3}|1[2-6]14960\d{3}|1914980\d{3}|2079460\d{3}|2896496\d{3}|2920180\d{3}|1632960\d{3}",
        national,
    )
    assert form(stand_in) == form(value)


@pytest.mark.parametrize(
    "shape", ["13999999999", "+86 1899 999 9999", "010-69999999", "0571-89999999", "+86 21 6999 9999"]
)
def test_chinese_numbers_are_in_no_range_that_libphonenumber_knows(shape: str) -> None:
    for value, stand_in in made("PHONE_NUMBER", shape, MANY // 5):
        assert not phonenumbers.is_valid_number(phonenumbers.parse(stand_in, "CN")) and form(stand_in) == form(value)


def test_plates_name_a_city_that_their_province_has_not() -> None:
    for value in ("浙A·12345", "粤BD12345", "京A1234F", "粤Z1234港"):
        stand_in = surrogate("CN_LICENSE_PLATE", value, KEY)
        assert re.match("[琼宁青藏][T-Z]", stand_in) and len(stand_in) == len(value)
    assert surrogate("CN_LICENSE_PLATE", "粤Z1234港", KEY).endswith("港")
    assert surrogate("CN_LICENSE_PLATE", "粤BD12345", KEY)[2] == "D"


def test_postal_tracking_numbers_have_their_check_digit() -> None:
    for value, stand_in in made("TRACKING_NUMBER", "EA999999999CN"):
        digits = [int(char) for char in stand_in[2:11]]
        rest = 11 - sum(w * d for w, d in zip((8, 6, 4, 2, 3, 5, 9, 7), digits, strict=False)) % 11
        assert {10: 0, 11: 5}.get(rest, rest) == digits[8] and stand_in[:2] + stand_in[-2:] == value[:2] + "CN"


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("Mr. J. O'Neil-Jones's", r"Mr\. [A-Z]\. \w+-\w+'s"),
        ("SMITH, anna", r"[A-Z]+, [a-z]+"),
        ("Ludwig van Beethoven", r"[A-Z]\w+ van [A-Z]\w+"),
        ("Van Morrison", r"(?!Van )[A-Z]\w+ [A-Z]\w+"),
        ("john123", r"[a-z]+\d{3}"),
        ("王先生", r"[^王]先生"),
        ("小李", r"小[^李]"),
        ("李总", r"[^李]总"),
        ("张丽(Lily Zhang)", r"[\u4e00-\u9fff]{2}\([A-Z]\w+ [A-Z]\w+\)"),
        ("张Lily", r"[\u4e00-\u9fff](?!Lily)[A-Z]\w+"),
        ("买买提·阿卜杜拉", r"[\u4e00-\u9fff]{3}·[\u4e00-\u9fff]{4}"),
        ("Иван Петров", r"[\u0400-\u042f][\u0430-\u045f]{3} [\u0400-\u042f][\u0430-\u045f]{5}"),
    ],
)
def test_names_keep_parts_titles_and_case(value: str, pattern: str) -> None:
    assert re.fullmatch(pattern, surrogate("PERSON", value, KEY))


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("12 Main St Apt 4B, Springfield, IL 62704-1234", r"[1-9]\d \w+ St Apt \d[A-Z], \w+, [A-Z]{2} 000\d\d-\d{4}"),
        ("221b Baker Street, London NW1 6XE", r"\d{3}[a-z] \w+ Street, \w+ [QVX][A-Z]\d \d[A-Z]{2}"),
        ("1600 5th Ave", r"\d{4} \d{1,2}th Ave"),
        ("浙江省杭州市西湖区文三路123号5幢2单元301室", r"..省..市..区..路\d{3}号\d幢\d单元\d{3}室"),
        (
            "北京市朝阳区建国路八十八号院三号楼A座",
            r"..市..区..路[一二三四五六七八九]{3}号院[一二三四五六七八九]号楼[A-Z]座",
        ),
    ],
)
def test_addresses_keep_their_form_and_nothing_of_the_place(value: str, pattern: str) -> None:
    stand_in = surrogate("STREET_ADDRESS", value, KEY)
    assert re.fullmatch(pattern, stand_in)
    for place in (
        "Main",
        "Springfield",
        "62704",
        "Baker",
        "London",
        "1600",
        "浙江",
        "杭州",
        "西湖",
        "文三",
        "北京",
        "建国",
    ):
        assert place not in stand_in


def test_lists_are_long_and_without_repeats() -> None:
    for language, sections in (("en", ["given", "family"]), ("zh", ["given", "family"])):
        for section in sections:
            listed = words(language)[section]  # type: ignore[index,arg-type]
            assert len(listed) >= 200 and len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        ("CREDIT_CARD", "4111-11"),
        ("IBAN_CODE", "DE89 37"),
        ("CN_RESIDENT_ID", "1101-05X"),
        ("CN_COMPANY_ID", "9135O100"),
    ],
)
def test_a_mistyped_value_keeps_its_shape(entity: str, value: str) -> None:
    assert form(surrogate(entity, value, KEY)) == form(value)


@given(st.sampled_from(sorted(ENTITIES)), st.text(min_size=1, max_size=40))
@settings(max_examples=400)
def test_any_value_has_a_stand_in_that_is_not_itself(entity: str, value: str) -> None:
    stand_in = surrogate(entity, value, KEY)
    assert stand_in == f"[{entity}]" or canonical(entity, stand_in) != canonical(entity, value)


@given(
    st.sampled_from(["PERSON", "STREET_ADDRESS"]),
    st.lists(
        st.sampled_from(["Qzx", "Wvkj", "翟", "犇骉", "917340285166", "Жукзнаощ", "'", " ", ",", "-", "·", "K1"]),
        min_size=1,
    ),
)
def test_no_word_that_no_list_holds_is_left_in_a_name_or_address(entity: str, parts: list[str]) -> None:
    value = "".join(parts)
    stand_in = surrogate(entity, value, KEY)
    left = [part for part in ("Qzx", "Wvkj", "犇骉", "917340285166", "Жукзнаощ") if part in value and part in stand_in]
    assert not left


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entity", "make", "count", "most"),
    [
        ("CREDIT_CARD", lambda n: f"4{n:015d}", 20_000, 1),
        ("EMAIL_ADDRESS", lambda n: f"user{n}@qq.com", 20_000, 1),
        ("CN_RESIDENT_ID", lambda n: f"{110000 + n}195001011231", 20_000, 1),
        ("IBAN_CODE", lambda n: f"DE89{n:018d}", 20_000, 1),
        ("US_SSN", lambda n: f"{100_000_000 + n:09d}", 100_000, 150),
        ("PHONE_NUMBER", lambda n: f"138{n:08d}", 100_000, 80),
        ("PERSON", lambda n: f"赵{chr(0x4E00 + n // 400)}{chr(0x5E00 + n % 400)}", 100_000, 750),
    ],
)
def test_different_values_rarely_share_a_surrogate(
    entity: str, make: Callable[[int], str], count: int, most: int
) -> None:
    """`most`: the expected number of repeats, n*n/2m, and three standard deviations or more."""
    assert count - len({surrogate(entity, make(n), KEY) for n in range(count)}) <= most


def test_draws_are_even() -> None:
    draws = Draws(KEY, "even")
    counts = [0] * 7
    for _ in range(14_000):
        counts[draws.below(7)] += 1
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 22.5  # chi-square, 6 degrees, p = 0.001


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_draws_tell_seeds_apart_by_their_parts(one: list[str], two: list[str]) -> None:
    assert (Draws(KEY, *one).below(2**90) == Draws(KEY, *two).below(2**90)) == (one == two)
