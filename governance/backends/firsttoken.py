"""A probability per class from what an endpoint tells of an answer's first token.

An alternative counts for a class if it begins an accepted answer of that class and of no other. So the scores are how
likely the model was to begin one class's answers, renormalised: another protocol than a trained head's probability.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from governance.backends.prompts import normalise
from governance.errors import ConfigError

LEAST = 0.5
"""Of the probability, what must be on classes; below, a row has no scores."""
MOST_UNCLEAR = 0.05
"""Of it, what may be on beginnings that fit several classes; above, a row has no scores."""
_NO_SPACES = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_START = re.compile(rf"[{_NO_SPACES}]|[^\s{_NO_SPACES}]+")


class Token(NamedTuple):
    """One alternative.

    Attributes:
        text: as told.
        raw: its UTF-8 bytes, where told; they may be a part of a character.
        logprob: natural logarithm of its probability.
    """

    text: str
    raw: bytes | None
    logprob: float


class Position(NamedTuple):
    """One place of an answer: the token that was written there, and all that are known of, that one among them."""

    written: Token
    known: tuple[Token, ...]


class FirstToken:
    """Reads scores off the first token of answers to one task.

    Args:
        answers: class -> accepted answers.

    Raises:
        ConfigError: answers of two classes begin alike.
    """

    def __init__(self, answers: Mapping[str, Sequence[str]]) -> None:
        self._answers = {label: tuple(map(normalise, accepted)) for label, accepted in answers.items()}
        if (alike := next(_alike(self._answers), None)) is not None:
            first, second, start = alike
            raise ConfigError(
                f"logprobs: answers of the classes '{first}' and '{second}' begin alike, with '{start}', so the first "
                "token can't tell them apart; choose a prompt whose accepted answers begin differently (those of one "
                "class may begin alike)"
            )

    def scores(self, positions: Sequence[Position]) -> dict[str, float] | None:
        """Class -> probability, summing to 1; None: it is undefined.

        Blanks, quotes and marks before the answer are passed over: what follows counts by their probability.

        Args:
            positions: the answer's first places, in order.
        """
        mass, unclear, reached = dict.fromkeys(self._answers, 0.0), 0.0, 1.0
        for position in positions:
            for token in position.known:
                labels = self._begun_by(token)
                chance = reached * math.exp(token.logprob)
                if len(labels) == 1:
                    mass[labels[0]] += chance
                elif labels:
                    unclear += chance
            if normalise(position.written.text):
                break
            reached *= math.exp(position.written.logprob)
        total = sum(mass.values())
        if total < LEAST or unclear > MOST_UNCLEAR:
            return None
        return {label: chance / total for label, chance in mass.items()}

    def _begun_by(self, token: Token) -> list[str]:
        """Classes that have an accepted answer which begins so."""
        start: str | bytes = normalise(token.text)
        if token.raw is not None and not _is_text(token.raw):  # a part of a character
            start = token.raw.lstrip(b" ")
        if not start:
            return []
        return [label for label, accepted in self._answers.items() if any(_begins(one, start) for one in accepted)]


def _begins(answer: str, start: str | bytes) -> bool:
    return answer.startswith(start) if isinstance(start, str) else answer.encode().startswith(start)


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _alike(answers: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, str, str]]:
    """Pairs of classes where one's first word, or sign where words aren't spaced, begins an answer of the other."""
    for first, mine in answers.items():
        for start in (_start(answer) for answer in mine):
            for second, theirs in answers.items():
                if second != first and any(answer.startswith(start) for answer in theirs):
                    yield first, second, start


def _start(answer: str) -> str:
    found = _START.match(answer)
    return answer if found is None else found[0]
