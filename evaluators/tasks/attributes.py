"""What a product text says about the product's attributes: what it states, rightly or wrongly, and what it contradicts.

A matter of words: values are found as they are spelt in the catalogue, but for case, width, hyphens and a simple
plural. "Navy" said as "dark blue" isn't found. A value of one character, a bare number and yes or no can't be told from
other uses of it in a sentence, so they are left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evaluators.tasks.tokens import fold, words
from governance.errors import DataError

Value = tuple[str, ...]
"""A value's tokens, in the singular."""

_COLON = re.compile(r"[:：]")
_LIST = re.compile(r"[;；、|，]|,(?=\s)|\s/\s")
_CLAUSE = re.compile(r"[.!?](?=\s|$)|[,;](?=\s)|[。！？；，、\n]")
_BARE = frozenset({"yes", "no", "true", "false", "none", "n/a", "是", "否", "有", "无"})
_DENIALS = re.compile(r"n't\b|\bcannot\b|\bnon(?=[-\s])|\bfree (?:of|from)\b|\binstead of\b|\brather than\b")
_FREE = re.compile(r"(?<=\w)-free\b")
_DENIED = re.compile(
    r"(?:\b(?:not|no|never|without|neither|nor)"
    r"(?: (?:a|an|any|at|all|be|been|contain|containing|from|in|it|its|made|of|quite|really|the|this|very|with))*"
    r"|(?:[不没沒无無非未别勿]|避 免)(?: [是有含带用采使由为属于到支持可能会做成选任何宜要建议很太够需须]){0,4})$"
)


@dataclass(frozen=True, slots=True)
class Stated:
    """What one text says about one product.

    Attributes:
        given: attributes that the product has and a text can be searched for.
        covered: of these, the ones whose value is stated.
        claims: different statements about attributes that the product has.
        right: of these, the ones that are true.
        contradicts: it states another value of an attribute and not the right one, or denies the right one.
    """

    given: int
    covered: int
    claims: int
    right: int
    contradicts: bool


class Vocabulary:
    """The values of each attribute in a catalogue, to find statements by.

    Args:
        catalogue: per product, its attributes as "name: value"; several values by comma, semicolon, slash or 、.

    Raises:
        DataError: an attribute isn't of that form.
    """

    def __init__(self, catalogue: Sequence[Sequence[str]]) -> None:
        self._names: dict[Value, set[str]] = defaultdict(set)
        for attributes in catalogue:
            for name, values in _parsed(attributes).items():
                for value in values:
                    self._names[value].add(name)
        self._longest_first = sorted({len(value) for value in self._names}, reverse=True)

    def read(self, text: str, attributes: Sequence[str], *, besides: Sequence[str] = ()) -> Stated:
        """What a text says about a product.

        A value that several attributes have speaks of the one where it is right, if there is one. A value that
        is part of the right one ("wool" for "merino wool") only repeats it where that is stated too.

        Args:
            text: what was written.
            attributes: the product's, as "name: value".
            besides: what else was given ("title"): a value that stands there is no false statement.
        """
        own = _parsed(attributes)
        stated, denied = self._found(text)
        given_elsewhere = {value for piece in besides for found in self._found(piece) for value in found}
        right = {(name, value) for name, values in own.items() for value in values & stated}
        wrongly_denied = {(name, value) for name, values in own.items() for value in values & denied}
        covered = {name for name, values in own.items() if values <= stated}
        false: dict[Value, set[str]] = {}
        for value in stated - given_elsewhere - {value for _, value in right}:
            about = self._names[value] & own.keys()
            if about and not any(_within(value, longer) for name, longer in right if name in about):
                false[value] = about
        return Stated(
            given=len(own),
            covered=len(covered),
            claims=len(right) + len(wrongly_denied) + len(false),
            right=len(right),
            contradicts=bool(wrongly_denied)
            or any(not about <= {name for name, _ in right} for about in false.values()),
        )

    def _found(self, text: str) -> tuple[set[Value], set[Value]]:
        """The values that a text states, and those that it denies; the longest value at a place is the one meant."""
        stated: set[Value] = set()
        denied: set[Value] = set()
        for clause in _CLAUSE.split(text):
            tokens = _tokens(_DENIALS.sub(" not ", _FREE.sub(" notof", fold(clause).replace("’", "'"))))
            for start, value in self._values(tokens):
                end = start + len(value)
                no = _DENIED.search(" ".join(tokens[:start])) or tokens[end : end + 1] == ("notof",)
                (denied if no else stated).add(value)
        return stated, denied

    def _values(self, tokens: Value) -> Iterator[tuple[int, Value]]:
        start = 0
        while start < len(tokens):
            found = next(
                (tokens[start : start + n] for n in self._longest_first if self._known(tokens, start, n)), None
            )
            if found is not None:
                yield start, found
            start += len(found or " ")

    def _known(self, tokens: Value, start: int, length: int) -> bool:
        return start + length <= len(tokens) and tokens[start : start + length] in self._names


def _parsed(attributes: Sequence[str]) -> Mapping[str, set[Value]]:
    """Name -> values that can be found in a text; names without such a value are left out."""
    found: dict[str, set[Value]] = defaultdict(set)
    odd = 0
    for attribute in attributes:
        name, *rest = _COLON.split(attribute, maxsplit=1)
        odd += not (rest and name.strip())
        for piece in _LIST.split("".join(rest)):
            if _can_be_found(piece):
                found[" ".join(words(name)) or fold(name).strip()].add(_tokens(piece))
    if odd:
        raise DataError(f"attributes: expected 'name: value', found {odd} without a name or a colon in a row")
    return found


def _can_be_found(value: str) -> bool:
    bare = fold(value).strip()
    return bare not in _BARE and sum(map(len, words(value))) > 1 and any(c.isalpha() for c in bare)


def _tokens(text: str) -> Value:
    return tuple(map(_singular, words(text)))


def _singular(word: str) -> str:
    """
    >>> [_singular(word) for word in ("pockets", "boxes", "bodies", "dress", "gas", "口袋")]
    ['pocket', 'box', 'body', 'dress', 'gas', '口袋']
    """
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes", "zes")) else word[:-1]


def _within(value: Value, longer: Value) -> bool:
    return f" {' '.join(value)} " in f" {' '.join(longer)} "
