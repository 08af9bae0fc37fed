"""Hashed words and word pairs: features that no private row had a say in.

Which word goes to which bucket is a hash, how much a word counts follows from its rank in a public vocabulary: the
WordPiece vocabularies of BERT's family list words by how frequent they are, so they hold an inverse document frequency
that costs no look at the data. Vocabularies in another order give every word the weight of one.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from governance.dataset import ModelText
from governance.training.dp.pieces import Lookup, Piece, Sparse
from governance.training.tfidf import CHARACTERS, WORDS

PAIR = 0.3  # weight of two neighbouring words beside that of one
LEAST = 0.1  # weight of the most frequent words


@dataclass(frozen=True)
class HashedWords:
    """Texts to sparse vectors of length one.

    Args:
        buckets: of the hash.
        language: "zh" counts characters and their pairs, since words have no spaces.
        tokenizer: folder of the base model, whose vocabulary weighs the words. None: all weigh the same.
    """

    buckets: int
    language: str = "en"
    tokenizer: Path | None = None

    def __call__(self, texts: Sequence[ModelText]) -> tuple[torch.Tensor, torch.Tensor]:
        """Buckets and values of each text, both (n, most entries); padded by bucket 0 at value 0."""
        from sklearn.feature_extraction import FeatureHasher

        if not len(texts):
            return torch.zeros((0, 1), dtype=torch.int64), torch.zeros((0, 1))
        hasher = FeatureHasher(self.buckets, input_type="pair", alternate_sign=True)
        matrix: Any = hasher.transform(self._counted(text.text) for text in texts)
        matrix.sum_duplicates()
        ids = [torch.from_numpy(matrix.indices[a:b].astype("int64")) for a, b in _ends(matrix)]
        values = [functional.normalize(torch.from_numpy(matrix.data[a:b]).float(), dim=0) for a, b in _ends(matrix)]
        pad = nn.utils.rnn.pad_sequence
        return pad(ids, batch_first=True), pad(values, batch_first=True)

    def _counted(self, text: str) -> list[tuple[str, float]]:
        words = re.findall(CHARACTERS if self.language == "zh" else WORDS, text.lower())
        single = [(word, (1 + math.log(n)) * self._weight(word)) for word, n in Counter(words).items()]
        return single + [
            (f"{a} {b}", PAIR * (1 + math.log(n)) * max(self._weight(a), self._weight(b)))
            for (a, b), n in Counter(pairwise(words)).items()
        ]

    def _weight(self, word: str) -> float:
        """Between `LEAST` for the most frequent word and 1 for one that the vocabulary doesn't hold."""
        ranks, first = self._ranks
        rank = ranks.get(word)
        if rank is None or rank < first:
            return 1.0
        return max(LEAST, math.log(rank - first + 1) / math.log(len(ranks) - first))

    @cached_property
    def _ranks(self) -> tuple[Mapping[str, int], int]:
        """Rank of each token, and that of the first whole word of two letters: those before it are not by frequency."""
        if self.tokenizer is None:
            return {}, 0
        model = json.loads((self.tokenizer / "tokenizer.json").read_bytes())["model"]
        if model.get("type") != "WordPiece":
            return {}, 0
        ranks: dict[str, int] = model["vocab"]
        longest = 1 if self.language == "zh" else 2
        words = (rank for word, rank in ranks.items() if word.isalpha() and len(word) >= longest)
        return ranks, min(words, default=0)


def _ends(matrix: Any) -> Iterator[tuple[int, int]]:
    return zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True)


class SparseLinear(nn.Module):
    """A linear layer on sparse vectors, zero at the start.

    Args:
        buckets: length of the vectors.
        out: outputs.
    """

    def __init__(self, buckets: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(buckets, out))

    def forward(self, ids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """(n, K) entries and their values to (n, out)."""
        return functional.embedding_bag(ids, self.weight, per_sample_weights=values, mode="sum")

    def pieces(
        self, given: tuple[torch.Tensor, ...], returned: torch.Tensor, records: int
    ) -> Iterator[tuple[nn.Parameter, Piece]]:
        """See `TellsPieces`."""
        ids, values = given
        if records == 1:
            yield self.weight, Sparse(ids, values, returned.float(), len(self.weight))
        else:  # a user's rows may share a bucket, so their entries are looked up one by one
            units = len(ids) // records
            each = values.unsqueeze(-1) * returned.float().unsqueeze(1)
            yield self.weight, Lookup(ids.view(units, -1), each.view(units, -1, each.shape[2]), len(self.weight))
