"""Names to numbers: tokens of texts, classes, items of a catalogue. In a private run all of them are public.

A vocabulary counted from private rows tells which words are in them, which no accountant covers: it is refused there.
Hashed tokens need no vocabulary: a token's number is a digest of it, modulo a fixed number of buckets.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from governance.dataset import ModelText
from governance.errors import ConfigError, DataError

PADDING, NOTHING = 0, 1  # no token; one that says nothing: an unknown one, or that a text is empty
FIRST = 2

# A placeholder such as [PERSON] is one token; Han characters and kana, which no spaces part, are tokens one by one.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKENS = re.compile(rf"\[[a-z_]+\]|[{_ALONE}]|[^\W_{_ALONE}]+")


def tokens(text: str) -> Iterator[str]:
    """Words, and single Han characters, of a text: compatible forms made one, without case.

    >>> list(tokens("Ｇreat coat, [PERSON]! 很好 5星"))
    ['great', 'coat', '[person]', '很', '好', '5', '星']
    """
    return (found.group() for found in _TOKENS.finditer(unicodedata.normalize("NFKC", text).casefold()))


@lru_cache(maxsize=2**16)
def bucket(token: str, buckets: int) -> int:
    """A token's bucket, in [0, buckets): the same on every machine and in every run."""
    digest = hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % buckets


class Vocabulary(Protocol):
    """Texts to token numbers, from `NOTHING` up."""

    @property
    def size(self) -> int:
        """How many numbers there are, padding included."""

    def numbers(self, text: str, most: int) -> list[int]:
        """A text's first tokens, at least one and at most `most`."""

    def told(self) -> Mapping[str, Any]:
        """JSON from which `read` makes the same vocabulary."""


@dataclass(frozen=True)
class Hashed:
    """Tokens by their digests: nothing is learnt from rows."""

    buckets: int

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return FIRST + self.buckets

    def numbers(self, text: str, most: int) -> list[int]:
        """A text's first tokens."""
        found = [FIRST + bucket(token, self.buckets) for token in itertools.islice(tokens(text), most)]
        return found or [NOTHING]

    def told(self) -> Mapping[str, Any]:
        """JSON for `read`."""
        return {"buckets": self.buckets}


@dataclass(frozen=True)
class Counted:
    """The most frequent tokens of the training rows; for open runs."""

    words: tuple[str, ...]
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {word: FIRST + i for i, word in enumerate(self.words)})

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return FIRST + len(self.words)

    def numbers(self, text: str, most: int) -> list[int]:
        """A text's first tokens."""
        return [self._index.get(token, NOTHING) for token in itertools.islice(tokens(text), most)] or [NOTHING]

    def told(self) -> Mapping[str, Any]:
        """JSON for `read`."""
        return {"words": list(self.words)}


class FromFile:
    """A `tokenizer.json` that the config names; its truncation and padding are not used.

    Args:
        content: of the file.
    """

    def __init__(self, content: str) -> None:
        from tokenizers import Tokenizer

        self._content = content
        self._tokenizer: Any = Tokenizer.from_str(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return FIRST + int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def numbers(self, text: str, most: int) -> list[int]:
        """A text's first tokens."""
        # Lone surrogates, which a tokenizer refuses, become question marks.
        found = self._tokenizer.encode(text.encode("utf-8", "replace").decode()).ids[:most]
        return [FIRST + number for number in found] or [NOTHING]

    def told(self) -> Mapping[str, Any]:
        """JSON for `read`."""
        return {"tokenizer": self._content}


def make(
    kind: str, buckets: int, texts: Sequence[ModelText], *, private: bool, recipe: str
) -> Hashed | Counted | FromFile:
    """The vocabulary that settings ask for.

    Args:
        kind: "hashed", "counted" (from `texts`), or the path of a `tokenizer.json`.
        buckets: numbers to hash to, or the most words to keep.
        texts: training rows.
        private: whether they are.
        recipe: whose settings these are, for messages.

    Raises:
        ConfigError: a private run asks to count, or the file is not a tokenizer.
    """
    if buckets < 1:
        raise ConfigError(f"{recipe}.buckets: expected at least 1, got {buckets}")
    if kind == "hashed":
        return Hashed(buckets)
    if kind == "counted":
        if private:
            raise ConfigError(
                f"{recipe}.vocabulary: a vocabulary counted from private rows tells which words are in them, and the "
                "privacy claim would not cover it; use 'hashed', or name a tokenizer.json made from public text"
            )
        count = Counter(itertools.chain.from_iterable(tokens(text.text) for text in texts))
        return Counted(tuple(sorted(count, key=lambda word: (-count[word], word))[:buckets]))
    try:
        return FromFile(Path(kind).read_text("utf-8"))
    except Exception as error:  # noqa: BLE001 - tokenizers raises nothing narrower
        raise ConfigError(
            f"{recipe}.vocabulary: expected 'hashed', 'counted' or a tokenizer.json, got '{kind}': "
            f"{type(error).__name__}"
        ) from None


def read(told: Mapping[str, Any]) -> Hashed | Counted | FromFile:
    """What `told` tells of. Raises KeyError where it tells of none."""
    if "buckets" in told:
        return Hashed(int(told["buckets"]))
    if "words" in told:
        return Counted(tuple(told["words"]))
    return FromFile(told["tokenizer"])


def padded(vocabulary: Vocabulary, texts: Iterable[ModelText], most: int) -> NDArray[np.int64]:
    """Token numbers, padded at the end, shape (n, most)."""
    rows = [vocabulary.numbers(text.text, most) for text in texts]
    found = np.full((len(rows), most), PADDING, dtype=np.int64)
    for row, numbers in zip(found, rows, strict=True):
        row[: len(numbers)] = numbers
    return found


def declared(names: Sequence[str], found: Sequence[str], *, private: bool, where: str) -> tuple[str, ...]:
    """The names that a model speaks of: those that the config lists, or, openly, all that the rows hold.

    Raises:
        ConfigError: a private run lists none, or a name comes twice.
    """
    if len(set(names)) != len(names):
        raise ConfigError(f"{where}: a name is listed twice")
    if names:
        return tuple(names)
    if private:
        raise ConfigError(f"{where}: a private run must not take them from its rows; list them in the config")
    return tuple(sorted(set(found)))


def codes(names: Sequence[str], found: Sequence[str], *, where: str, besides: str | None = None) -> NDArray[np.int64]:
    """Position of each found name, shape (n,); -1 for `besides`.

    Raises:
        DataError: a row holds a name that is not listed; says how many rows do, never which name.
    """
    index = {name: code for code, name in enumerate(names)}
    if besides is not None:
        index[besides] = -1
    unknown = sum(name not in index for name in found)
    if unknown:
        raise DataError(
            f"{where}: {unknown} of {len(found)} rows hold a name that is not listed; list it, or drop the rows"
        )
    return np.array([index[name] for name in found], dtype=np.int64)
