"""Texts that are nearly an earlier one."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

SHINGLE = 4  # characters
BANDS, ROWS = 32, 4  # of a MinHash signature: pairs at 0.8 are missed with a chance of 5e-8, at 0.6 with one of 1 %
PRIME = (1 << 61) - 1


def similar_to_earlier(texts: Sequence[str], share: float) -> list[int]:
    """Positions of texts that share at least `share` of their character 4-grams with an earlier one that stays.

    Candidates by MinHash and banding (Broder 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
    chapter 3), each then checked by the Jaccard index itself: no text goes for a collision of hashes.
    """
    rng = np.random.default_rng(0)  # public: the same rows go whoever asks
    factors, shifts = rng.integers(1, 1 << 31, (2, BANDS * ROWS, 1), dtype=np.uint64)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    grams: dict[int, frozenset[int]] = {}
    gone = []
    for position, text in enumerate(texts):
        mine = _grams(text)
        hashed = np.fromiter(mine, dtype=np.uint64, count=len(mine))
        signature = ((factors * hashed + shifts) % np.uint64(PRIME)).min(axis=1).reshape(BANDS, ROWS)
        keys = [(band, signature[band].tobytes()) for band in range(BANDS)]
        candidates = dict.fromkeys(other for key in keys for other in buckets.get(key, ()))
        if any(_jaccard(mine, grams[other]) >= share for other in candidates):
            gone.append(position)
            continue
        grams[position] = mine
        for key in keys:
            buckets.setdefault(key, []).append(position)
    return gone


def _grams(text: str) -> frozenset[int]:
    parts = {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}
    return frozenset(zlib.crc32(part.encode("utf-8", "surrogatepass")) for part in parts)


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
