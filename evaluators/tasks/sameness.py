"""How much texts of one catalogue are alike: distinct n-grams, and BLEU of each text against others."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from itertools import islice

import numpy as np

from evaluators.tasks.base import Scores, mean
from evaluators.tasks.tokens import library, words


def distinct(texts: Sequence[str], n: int) -> list[Scores]:
    """Share of n-grams that are different ones: of the whole catalogue, and of each text on its own.

    In the first, an n-gram that occurs k times in the catalogue counts 1/k at each place, so that the places
    add up to the number of different ones: the value is exactly that of all texts together, and rows can be resampled.

    Source:
        Li et al. (2016), A diversity-promoting objective function for neural conversation models, arXiv:1510.03055.
    """
    grams = [Counter(_grams(words(text), n)) for text in texts]
    everywhere: Counter[tuple[str, ...]] = Counter()
    for own in grams:
        everywhere.update(own)
    places = np.array([float(own.total()) for own in grams])
    different = np.array([sum(k / everywhere[gram] for gram, k in own.items()) for own in grams])
    unit = "words, Chinese characters" if n == 1 else f"runs of {n} words or Chinese characters"
    across = Scores(
        metric=f"distinct_{n}",
        table=np.column_stack([different, places]),
        method=f"different {unit} of all texts, per {unit} of all texts; falls as texts are added, so compare the same"
        " rows; the interval takes how often each occurs as given",
    )
    within = mean(
        f"distinct_{n}_text",
        [len(own) / own.total() if own else None for own in grams],
        method=f"different {unit} of a text, per {unit} of that text; mean of rows",
    )
    return [across, within]


def _grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(islice(tokens, i, None) for i in range(n)), strict=False))


def self_bleu(texts: Sequence[str], keys: Sequence[str], language: str, *, others: int, seed: int) -> Scores:
    """BLEU of each text with other rows' texts as its references, mean of rows: higher, more of the same.

    Each text meets as many others as all the rest: those that follow it in an order drawn from the seed and the
    rows' keys, not from the texts. So two models that answered the same rows are compared on the same pairs.

    Args:
        keys: what tells rows apart ("title and attributes").
        others: most others per text.

    Source:
        Zhu et al. (2018), Texygen, arXiv:1802.01886.
    """
    metric = library("sacrebleu").BLEU(tokenize="zh" if language == "zh" else "13a", effective_order=True)
    written = [row for row, text in enumerate(texts) if text.strip()]
    ring = sorted(written, key=lambda row: (_draw(keys[row], seed), row))
    met = min(others, len(ring) - 1)
    values: list[float | None] = [None] * len(texts)
    for place, row in enumerate(ring if met else []):
        rest = [texts[ring[(place + step) % len(ring)]] for step in range(1, met + 1)]
        values[row] = min(1.0, float(metric.sentence_score(texts[row], rest).score) / 100)
    method = (
        f"sentence BLEU by sacrebleu {version('sacrebleu')}, {'zh' if language == 'zh' else '13a'} tokens, effective"
        f" order, against {met} other texts at most, drawn with seed {seed}; the interval takes those as given"
    )
    return mean("self_bleu", values, method=method, better="lower")


def _draw(key: str, seed: int) -> bytes:
    return hashlib.blake2b(key.encode(), key=seed.to_bytes(8, "big"), digest_size=16).digest()
