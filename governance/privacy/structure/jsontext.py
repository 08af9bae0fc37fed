"""JSON: strings, keys and numbers are its leaves; every other character stays as it is.

The standard parser would lose duplicate keys, spellings and numbers such as 1e400, and overflow on deep nesting:
its string scanner is used, within a walk that keeps positions.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from governance.privacy.normalise import repair
from governance.privacy.structure.codes import Edit
from governance.privacy.structure.flow import Leaf, applied, words

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NAME = re.compile(r"true|false|null|NaN|-?Infinity")

_string = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True, repr=False)
class _Token:
    start: int  # in the raw text, quotes included
    end: int
    leaf: Leaf
    owner: int  # which object it is a key of; 0: it is a value


@dataclass(slots=True, repr=False)
class _Open:
    """An object or array that is not closed yet."""

    closer: str
    owner: int
    key: str = ""


class _NotJson(Exception):
    """The text breaks the grammar."""


@dataclass(frozen=True, slots=True, repr=False)
class JsonLayout:
    """A JSON text taken apart."""

    raw: str
    tokens: Sequence[_Token]

    @property
    def leaves(self) -> Sequence[Leaf]:
        """See `Layout`."""
        return [token.leaf for token in self.tokens]

    def written(self, changes: Sequence[Sequence[Edit]]) -> str:
        """See `Layout`. A number that changes becomes a string; two different keys never become the same."""
        new = {place: applied(self.tokens[place].leaf.text, edited) for place, edited in enumerate(changes) if edited}
        if any(self.tokens[place].owner for place in new):
            self._keep_apart(new)
        patches = []
        for place in sorted(new):
            token = self.tokens[place]
            patches.append((token.start, token.end, json.dumps(new[place], ensure_ascii=self.raw.isascii())))
        return applied(self.raw, patches)

    def _keep_apart(self, new: dict[int, str]) -> None:
        """Number keys of one object that would collide, so that no reader drops the value of one."""
        keys: dict[int, list[int]] = defaultdict(list)
        for place, token in enumerate(self.tokens):
            if token.owner:
                keys[token.owner].append(place)
        for owner in {self.tokens[place].owner for place in new if self.tokens[place].owner}:
            taken = {self.tokens[place].leaf.text for place in keys[owner] if place not in new}
            renamed: dict[str, str] = {}
            copies: dict[str, int] = {}
            for place in keys[owner]:
                if place not in new:
                    continue
                old, key = self.tokens[place].leaf.text, new[place]
                while old not in renamed and key in taken:
                    copies[new[place]] = copies.get(new[place], 1) + 1
                    key = f"{new[place]} ({copies[new[place]]})"
                new[place] = renamed.setdefault(old, key)
                taken.add(new[place])


def parse_json(raw: str) -> JsonLayout | None:
    """The leaves of a JSON text; None: it isn't one.

    >>> [leaf.context + leaf.text for leaf in parse_json('{"phone": [5550123, "x"]}').leaves]
    ['phone', 'phone: 5550123', 'phone: x']
    >>> parse_json("{'phone': 1}") is None
    True
    """
    try:
        return JsonLayout(raw, list(_tokens(raw)))
    except (_NotJson, json.JSONDecodeError):
        return None


def _tokens(raw: str) -> Iterator[_Token]:
    stack: list[_Open] = []
    owners = 0
    position = _after_space(raw, 0)
    while True:
        opening = raw[position : position + 1]
        if opening in ("{", "["):
            owners += 1
            stack.append(_Open("}" if opening == "{" else "]", owners))
            position = _after_space(raw, position + 1)
            if not raw.startswith(stack[-1].closer, position):
                if opening == "{":
                    position = yield from _key(raw, position, stack[-1])
                continue
        else:
            token, position = _scalar(raw, position, words(*(level.key for level in stack[-2:])))
            if token is not None:
                yield token
        # A value has ended: so may any number of objects and arrays around it.
        while True:
            position = _after_space(raw, position)
            if not stack:
                if position < len(raw):
                    raise _NotJson
                return
            if not raw.startswith(stack[-1].closer, position):
                break
            stack.pop()
            position += 1
        if not raw.startswith(",", position):
            raise _NotJson
        position = _after_space(raw, position + 1)
        if stack[-1].closer == "}":
            position = yield from _key(raw, position, stack[-1])


def _after_space(raw: str, position: int) -> int:
    match = _SPACE.match(raw, position)
    return match.end() if match else position


def _key(raw: str, position: int, level: _Open) -> Generator[_Token, None, int]:
    """Yields the key that stands here; returns where its value starts."""
    if not raw.startswith('"', position):
        raise _NotJson
    key, end = _string(raw, position)
    level.key = repair(key)
    yield _Token(position, end, Leaf(level.key), level.owner)
    colon = _after_space(raw, end)
    if not raw.startswith(":", colon):
        raise _NotJson
    return _after_space(raw, colon + 1)


def _scalar(raw: str, position: int, context: str) -> tuple[_Token | None, int]:
    if raw.startswith('"', position):
        text, end = _string(raw, position)
        return _Token(position, end, Leaf(repair(text), context), 0), end
    if number := _NUMBER.match(raw, position):
        return _Token(position, number.end(), Leaf(number[0], context), 0), number.end()
    if name := _NAME.match(raw, position):
        return None, name.end()
    raise _NotJson
