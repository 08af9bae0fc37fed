"""Texts that are nearly an earlier one."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np

SHINGLE = 4  # characters
BANDS, ROWS = 32, 4  # of a MinHash signature: pairs at 0.8 are missed with a chance of 5e-8, at 0.6 with one of 1 %
PRIME = (1 << 61) - 1
CHECKED = 200  # known texts of one band, and candidates of one text, that are looked at
# Public: the same rows are near whoever asks.
_FACTORS, _SHIFTS = np.random.default_rng(0).integers(1, 1 << 31, (2, BANDS * ROWS, 1), dtype=np.uint64)


def similar_to_earlier(texts: Sequence[str], share: float) -> list[int]:
    """Positions of texts that share at least `share` of their character 4-grams with an earlier one that stays."""
    seen, gone = _Seen(share), []
    for position, text in enumerate(texts):
        found = _Signed(text)
        if seen.near(found):
            gone.append(position)
        else:
            seen.add(found)
    return gone


def similar_to_known(texts: Sequence[str], known: Sequence[str], share: float) -> list[int]:
    """Positions of texts that share at least `share` of their character 4-grams with one of the known texts.

    Where very many known texts are made alike, only the likeliest are looked at, so that the time stays bounded.
    """
    seen = _Seen(share, most=CHECKED)
    for text in dict.fromkeys(known):
        seen.add(_Signed(text))
    return [position for position, text in enumerate(texts) if seen.near(_Signed(text))]


class _Signed:
    """A text's character 4-grams and the bands of their MinHash signature."""

    def __init__(self, text: str) -> None:
        self.grams = _grams(text)
        hashed = np.fromiter(self.grams, dtype=np.uint64, count=len(self.grams))
        signature = ((_FACTORS * hashed + _SHIFTS) % np.uint64(PRIME)).min(axis=1).reshape(BANDS, ROWS)
        self.keys = [(band, signature[band].tobytes()) for band in range(BANDS)]


class _Seen:
    """Texts by band.

    Candidates by MinHash and banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
    chapter 3), each then checked by the Jaccard index itself: no text is taken for another for a collision of hashes.
    """

    def __init__(self, share: float, most: int | None = None) -> None:
        self.share, self._most = share, most
        self._buckets: dict[tuple[int, bytes], list[frozenset[int]]] = {}

    def add(self, text: _Signed) -> None:
        for key in text.keys:
            bucket = self._buckets.setdefault(key, [])
            if self._most is None or len(bucket) < self._most:
                bucket.append(text.grams)

    def near(self, text: _Signed) -> bool:
        found = [grams for key in text.keys for grams in self._buckets.get(key, ())]
        by_id = {id(grams): grams for grams in found}
        likeliest = Counter(map(id, found)).most_common(self._most)  # those in most of the text's buckets
        return any(_jaccard(text.grams, by_id[one]) >= self.share for one, _ in likeliest)


def _grams(text: str) -> frozenset[int]:
    parts = {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}
    return frozenset(zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts)


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
