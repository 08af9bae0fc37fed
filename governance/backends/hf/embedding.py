"""Embeddings: one vector of length 1 per text, and candidates ranked by their cosine with a query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from governance.backends.base import Answer, Capability, Request
from governance.backends.hf.batches import Done, Loaded
from governance.backends.hf.heads import query_of, ranked
from governance.dataset import ModelText


class Embedding:
    """An encoder without a head. Implements `Embeds` and `Ranks`.

    Args:
        loaded: the model.
    """

    capabilities = frozenset({Capability.EMBED, Capability.RANK})

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`: it has no classes."""
        return [Answer(failure="an embedding has no classes")] * len(texts)

    def embed(self, texts: Sequence[ModelText]) -> NDArray[np.float32]:
        """See `Embeds`: as passages. A text that can't be read (too long) has a vector of NaN."""
        done = self._vectors([self._loaded.settings.passage_prefix + text.text for text in texts])
        found = np.full((len(texts), int(self._loaded.model.config.hidden_size)), np.nan, dtype=np.float32)
        for i, one in enumerate(done):
            if one.value is not None:
                found[i] = one.value
        return found

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """See `Ranks`: cosine of the query's vector and each candidate's; a text that comes twice is computed once."""
        settings = self._loaded.settings
        pairs = [
            (settings.query_prefix + query_of(request), settings.passage_prefix + candidate.text)
            for request in requests
            for candidate in request.candidates
        ]
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        known = dict(zip(texts, self._vectors(texts), strict=True))
        scored, before = [], None
        for query, candidate in pairs:
            scored.append(_cosine(known[query], known[candidate], first=query != before))
            before = query
        return ranked(requests, scored)

    def close(self) -> None:
        """See `Backend`."""
        self._loaded.close()

    def _vectors(self, texts: Sequence[str]) -> list[Done[NDArray[np.float32]]]:
        return self._loaded.each(self._loaded.rows(texts), self._pooled)

    def _pooled(self, batch: dict[str, torch.Tensor], _: list[int]) -> list[NDArray[np.float32]]:
        states = self._loaded.model(**batch).last_hidden_state.float()
        if self._loaded.settings.pooling == "cls":
            pooled = states[:, 0]
        else:
            mask = batch["attention_mask"].unsqueeze(-1)
            pooled = (states * mask).sum(1) / mask.sum(1)
        return list(functional.normalize(pooled, dim=1).cpu().numpy())


def _cosine(query: Done[NDArray[np.float32]], candidate: Done[NDArray[np.float32]], *, first: bool) -> Done[float]:
    """A candidate's score; the query's time counts with the first of its candidates."""
    seconds = candidate.seconds + query.seconds * first
    if query.value is None or candidate.value is None:
        return Done(None, query.failure or candidate.failure, seconds)
    return Done(float(query.value.astype(float) @ candidate.value.astype(float)), None, seconds)
