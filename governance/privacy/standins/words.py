"""Stand-ins for names and addresses: from lists of the project's own, in the value's script, order and case.

English names have 200 x 200 and more combinations, Chinese ones of three characters 8 million; places are invented,
postcodes begin as none does, so that no address exists.
"""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from governance.privacy.standins.canonical import narrow
from governance.privacy.standins.draws import Draws, reshape

_HAN = re.compile(r"[\u3400-\u9fff]+(?:\s+[\u3400-\u9fff]+)*")
_NAME_WORD = re.compile(r"[^\W\d_\u3400-\u9fff]+(?:['’](?!s\b)[^\W\d_\u3400-\u9fff]+)*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff'’]+")
_TITLE_BEHIND = re.compile(
    r"(?:先生|女士|小姐|太太|夫人|老师|教授|医生|大夫|护士|经理|主任|总监|店长|老板|师傅|律师|警官|同学|客服|"
    r"阿姨|叔叔|大爷|大妈|奶奶|爷爷|总|哥|姐|叔|姨|嫂|工|董)$"
)
_TITLE_AHEAD = re.compile(r"^[老小阿大](?=.$)")

_ADDRESS_PART = re.compile(
    r"(?P<postcode>(?<![A-Za-z0-9])[A-Za-z]{1,2}\d[A-Za-z0-9]?\s?\d[A-Za-z]{2}(?![A-Za-z0-9]))"
    r"|(?P<state>(?<![A-Za-z])[A-Z]{2})(?P<gap>\s{1,2})(?P<zip>\d{5}(?:-\d{4})?)(?!\d)"
    r"|(?P<ordinal>\d{1,3})(?:st|nd|rd|th)(?![A-Za-z])|(?P<digits>\d+)|(?P<word>[^\W\d_][^\W\d_'’]*(?:['’][^\W\d_]+)*)"
)
_NUMERALS = "一二三四五六七八九"
_PLACE_KINDS = (
    "特别行政区|自治区|自治州|自治县|开发区|街道|大道|大街|小区|公寓|花园|家园|新村|大厦|广场|号楼|号院|单元|胡同|社区|"
    "省|市|区|县|旗|镇|乡|村|路|街|巷|弄|里|苑|园|城|湾|府|楼|栋|幢|座|号|室|层|房|组|队|期|之"
)
_CHINESE_PART = re.compile(
    rf"(?P<numeral>[一二三四五六七八九十百]+)(?=(?:号|单元|室|楼|层|栋|幢|座|期|组|队|弄))"
    rf"|(?<=[\u3400-\u9fff0-9０-９A-Za-z])(?P<kind>{_PLACE_KINDS})|(?P<han>[\u3400-\u9fff])|(?P<digits>\d+)"
    r"|(?P<letters>[^\W\d_\u3400-\u9fff]+)"
)


@cache
def words(language: Literal["en", "zh"]) -> Mapping[str, Sequence[str]]:
    """Section -> words of the lists that ship in configs/lists."""
    text = (importlib.resources.files("configs") / "lists" / f"surrogates.{language}.txt").read_text("utf-8")
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), [])
        elif not line.startswith("#"):
            section += line.split()
    return sections


def person(value: str, draws: Draws) -> str:
    """Another name with as many parts; titles, particles, initials' dots and separators stay."""
    value = _DIGITS.sub(lambda run: reshape(run[0], draws), narrow(value))
    value = _HAN.sub(lambda run: _spaced(run[0], _chinese_name("".join(run[0].split()), value, draws)), value)
    mixed = not value.islower()
    parts = [part for part in _NAME_WORD.finditer(value) if _is_name(part, mixed)]
    if not parts:
        return value
    # "Smith, Anna" and "Mr Smith" begin with the family's name; a name alone is a given one.
    turned = value[parts[0].end() :].lstrip().startswith(",")
    titled = _NAME_WORD.search(value, 0, parts[0].start()) is not None
    family = parts[0] if turned else parts[-1] if len(parts) > 1 or titled else None
    starts = {part.start(): "family" if part is family else "given" for part in parts}
    return _NAME_WORD.sub(
        lambda part: _name_word(part[0], starts[part.start()], draws) if part.start() in starts else part[0], value
    )


def _is_name(part: re.Match[str], mixed: bool) -> bool:
    """Whether a word is a name, in a value that has capitals too (`mixed`) or not."""
    word, lists = part[0], words("en")
    possessive = word.lower() == "s" and part.string[: part.start()].endswith(("'", "’"))
    # "van" is a particle beside capitals; Van is somebody's name.
    particle = mixed and word in lists["particles"]
    return not (possessive or particle or word.lower() in lists["titles"])


def _name_word(word: str, section: str, draws: Draws) -> str:
    if len(word) == 1 or not _LATIN.fullmatch(word):
        return reshape(word, draws)
    return _cased(draws.pick(words("en")[section]), word)


def _cased(new: str, word: str) -> str:
    if word.islower():
        return new.lower()
    return new.upper() if word.isupper() and len(word) > 1 else new


def _spaced(run: str, name: str) -> str:
    """A name with spaces where a run of as many characters has them."""
    characters = iter(name)
    return "".join(char if char.isspace() else next(characters) for char in run)


def _chinese_name(run: str, value: str, draws: Draws) -> str:
    lists = words("zh")
    if "·" in value or "•" in value:
        return "".join(draws.pick(lists["transliterated"]) for _ in run)
    behind = _TITLE_BEHIND.search(run) if len(run) > 1 else None
    core = run[: behind.start()] if behind else run
    if not core or (behind and len(behind[0]) == 1 and len(core) > 1):
        core, behind = run, None  # a given name may end in 总 or 工
    ahead = _TITLE_AHEAD.match(core)
    title = ahead[0] if ahead else ""
    name = _chinese_parts(core[len(title) :], lists, draws)
    return title + name + (behind[0] if behind else "")


def _chinese_parts(core: str, lists: Mapping[str, Sequence[str]], draws: Draws) -> str:
    compound = len(core) > 2 and core[:2] in lists["compound"]
    if len(core) > 4:
        return "".join(draws.pick(lists["transliterated"]) for _ in core)
    if compound:
        family = draws.pick(lists["compound"])
    else:
        family = "".join(draws.pick(lists["family"]) for _ in range(2 if len(core) == 4 else 1))
    return family + "".join(draws.pick(lists["given"]) for _ in range(len(core) - len(family)))


def address(value: str, draws: Draws) -> str:
    """An invented address of the same form: kinds of street and unit stay, all names and numbers change.

    ZIP codes begin with 000 and postcodes with Q, V or X, which none does.

    Source:
        USPS Publication 65; Royal Mail, Programmers' Guide to the Postcode Address File.
    """
    value = narrow(value)
    if _HAN.search(value):
        return _CHINESE_PART.sub(lambda part: _chinese_part(part, draws), value)
    return _ADDRESS_PART.sub(lambda part: _english_part(part, draws), value)


def _english_part(part: re.Match[str], draws: Draws) -> str:
    text, lists = part[0], words("en")
    if part["postcode"]:
        area = draws.pick("QVX")
        return (area.lower() if text.islower() else area) + reshape(text[1:], draws)
    if part["state"]:
        return draws.pick(lists["states"]) + part["gap"] + f"000{draws.digits(2)}" + reshape(part["zip"][5:], draws)
    if part["ordinal"]:
        return str(10 * draws.below(9) + 4 + draws.below(6)) + ("th" if text.islower() else "TH")
    if text.lower() in lists["kinds"]:
        return text
    if part["digits"] or len(text) == 1 or not _LATIN.fullmatch(text):
        return reshape(text, draws)
    return _cased(draws.pick(lists["places"]), text)


def _chinese_part(part: re.Match[str], draws: Draws) -> str:
    if part["kind"]:
        return part[0]
    if part["numeral"]:
        return "".join(draws.pick(_NUMERALS) for _ in part[0])
    return draws.pick(words("zh")["places"]) if part["han"] else reshape(part[0], draws)
