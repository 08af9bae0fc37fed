"""What rules alone do of a task: the system that any model must beat to be worth its price.

No weights, no training, both languages. It ranks candidates by the words that they share with the query, answers a
question with the sentence that shares most with it, and describes a product by listing what is known of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.backends.base import Answer, Capability, Request

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OTHER_TASK = "these rules are meant for something else"
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s*|\n+")


class LexicalBackend:
    """Implements `Writes` and `Ranks`.

    Args:
        ranks: whether it ranks; else it writes.
        shortest: it ranks by length alone. Answers that were really given are often short, and drawn ones long: a
            model that only learnt this would look clever.
        least: share of the question's weight that a sentence must hold to be an answer; below, it says that there
            is none.
    """

    def __init__(self, *, ranks: bool, shortest: bool = False, least: float = 0.2) -> None:
        self._ranks, self._shortest, self._least = ranks, shortest, least

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        return frozenset({Capability.RANK if self._ranks else Capability.WRITE})

    def classify(self, texts: Sequence[Any]) -> Sequence[Answer]:
        """See `Backend`: it knows no classes."""
        return [Answer(failure="rules know no classes")] * len(texts)

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`: cosine of character n-grams, weighted within the request's own candidates."""
        if not self._ranks:
            return [Answer(failure=_OTHER_TASK)] * len(requests)
        return [_timed(self._ranked, request) for request in requests]

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Writes`."""
        if self._ranks:
            return [Answer(failure=_OTHER_TASK)] * len(requests)
        return [_timed(self._written, request) for request in requests]

    def close(self) -> None:
        """See `Backend`: nothing to free."""

    def _ranked(self, request: Request) -> dict[str, Any]:
        if self._shortest:
            return {"scores": tuple(-float(len(candidate.text)) for candidate in request.candidates)}
        query = " ".join(text.text for text in request.fields.values())
        scores = _alike(query, [candidate.text for candidate in request.candidates])
        return {"scores": tuple(scores.tolist())} if len(scores) else {"failure": "there is no candidate"}

    def _written(self, request: Request) -> dict[str, Any]:
        texts = {role: text.text for role, text in request.fields.items()}
        if "context" in texts:
            return {"output": self._sentence(texts.get("question", ""), texts["context"])}
        return {"output": ". ".join(text.rstrip(".。") for text in texts.values() if text) + "."}

    def _sentence(self, question: str, context: str) -> str:
        sentences = [sentence.strip() for sentence in _SENTENCE.split(context) if sentence.strip()]
        scores = _alike(question, sentences)
        return sentences[int(np.argmax(scores))] if len(scores) and scores.max() >= self._least else ""


def _timed(make: Callable[[Request], dict[str, Any]], request: Request) -> Answer:
    began = time.perf_counter()
    made = make(request)
    return Answer(**made, seconds=time.perf_counter() - began)


def _alike(query: str, texts: Sequence[str]) -> NDArray[np.float64]:
    """Cosines of TF-IDF character n-grams, shape (n,); 0 where nothing can be compared."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not texts:
        return np.zeros(0)
    vectoriser = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True)
    try:
        matrix = vectoriser.fit_transform([*texts, query])
    except ValueError:  # no text has a character that counts
        return np.zeros(len(texts))
    return np.asarray((matrix[:-1] @ matrix[-1].T).todense(), dtype=float).ravel()
