"""Answers that stand in a text: a customer's question, the shop's policy, and whether the policy answers it at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from evaluators.tasks.base import Item, Reply, Scores, mean, share
from evaluators.tasks.tokens import answer_tokens, stands_in

T = TypeVar("T")

_NORMALISED = (
    "no case, punctuation (but between digits) or English articles; Chinese by character; best of the accepted answers"
)


def token_f1(reply: Sequence[str], answer: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of a bag of tokens, as in SQuAD; 0 where none is shared.

    >>> token_f1(["within", "30", "days"], ["30", "days"])
    0.8
    """
    shared = sum((Counter(reply) & Counter(answer)).values())
    return 2 * shared / (len(reply) + len(answer)) if shared else 0.0


@dataclass(frozen=True)
class Answers:
    """Exact match and token F1 against the accepted answers; a row without any is unanswerable, and "" is right there.

    So a model that always finds something is told from one that says when the text holds nothing, and from one that
    says so too often.

    Source:
        Rajpurkar et al. (2018), Know What You Don't Know (SQuAD 2.0), arXiv:1806.03822; for Chinese, Lewis et al.
        (2020), MLQA, arXiv:1910.07475.
    """

    name: ClassVar[str] = "qa"
    texts: ClassVar[Mapping[str, bool]] = {"question": True, "context": True}
    lists: ClassVar[Mapping[str, bool]] = {"answers": True}
    hidden: ClassVar[frozenset[str]] = frozenset({"answers"})
    main: ClassVar[str] = "token_f1"
    ranks: ClassVar[bool] = False

    def scores(self, items: Sequence[Item], replies: Sequence[Reply], *, language: str) -> Sequence[Scores]:
        """Every metric; with `_answerable` of the rows that have an answer, else of all rows."""
        replied = [(reply.words or "").strip() for reply in replies]
        none = [not words for words in replied]
        gold = [_accepted(item, language) for item in items]
        found = [answer_tokens(words, language) for words in replied]
        exact = [one in accepted if accepted else not one for one, accepted in zip(found, gold, strict=True)]
        f1 = [
            max(token_f1(one, answer) for answer in accepted) if accepted else float(not one)
            for one, accepted in zip(found, gold, strict=True)
        ]
        answerable = [bool(accepted) for accepted in gold]
        grounded = [
            stands_in(words, item.texts["context"]) if words else None
            for item, words in zip(items, replied, strict=True)
        ]
        blank = "right where the text holds no answer if the reply says so"
        return [
            share("exact_match", exact, method=f"{_NORMALISED}; {blank}"),
            mean("token_f1", f1, method=f"F1 of tokens: {_NORMALISED}; {blank}"),
            share("exact_match_answerable", _only(exact, answerable), method=_NORMALISED),
            mean("token_f1_answerable", _only(f1, answerable), method=f"F1 of tokens: {_NORMALISED}"),
            share(
                "refused_unanswerable",
                _only(none, [not one for one in answerable]),
                method="of rows whose text holds no answer: replies that say so",
            ),
            share(
                "refused_answerable",
                _only(none, answerable),
                method="of rows whose text holds the answer: replies that say it doesn't",
                better="lower",
            ),
            share(
                "grounded",
                grounded,
                method="of replies that are not blank: stand in the text word by word, but for case, whitespace and"
                " punctuation",
            ),
        ]


def _accepted(item: Item, language: str) -> list[list[str]]:
    return [tokens for answer in item.lists["answers"] if (tokens := answer_tokens(answer, language))]


def _only(values: Sequence[T], kept: Sequence[bool]) -> list[T | None]:
    return [value if keep else None for value, keep in zip(values, kept, strict=True)]
