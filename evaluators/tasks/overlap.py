"""What an answer shares with reference texts: ROUGE-L, BLEU and chrF, by the libraries that published figures use.

BLEU and chrF speak of a corpus: each row adds its counts of n-grams, and the score of any selection of rows is
exactly the score that sacrebleu gives it. Chinese gets its own tokens: with the defaults, made for English,
rouge-score and BLEU give 0.0 to Chinese texts that are almost equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.tasks.base import Scores, mean
from evaluators.tasks.tokens import library, words

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 2000
"""Tokens of a text that ROUGE-L looks at: its cost grows with the product of the two lengths."""
ORDER = 4  # of BLEU: n-grams of 1 to 4 tokens
CHARACTERS = 6  # of chrF: n-grams of 1 to 6 characters
BETA = 2  # of chrF: recall weighs twice as much as precision


class _Tokens:
    """A tokenizer as rouge-score takes it."""

    def __init__(self, language: str) -> None:
        self._split = words if language == "zh" else library("rouge_score.tokenizers").DefaultTokenizer().tokenize

    def tokenize(self, text: str) -> list[str]:
        tokens: list[str] = self._split(text)[:LONGEST]
        return tokens


def rouge_l(outputs: Sequence[str], references: Sequence[Sequence[str]], language: str) -> Scores:
    """F-measure of the longest common subsequence of tokens, best of the references; mean of rows that have any.

    English by rouge-score's own tokens (lower case, a to z and digits), without stemming; Chinese by character. A
    reference without a single token in that sense can't be met and doesn't count.

    Source:
        Lin (2004), ROUGE: a package for automatic evaluation of summaries.
    """
    tokens = _Tokens(language)
    scorer = library("rouge_score.rouge_scorer").RougeScorer(["rougeL"], tokenizer=tokens)
    values: list[float | None] = []
    for output, texts in zip(outputs, references, strict=True):
        usable = [text for text in texts if tokens.tokenize(text)]
        values.append(float(scorer.score_multi(usable, output)["rougeL"].fmeasure) if usable else None)
    how = "by character" if language == "zh" else "its default tokens, no stemming"
    about = f"ROUGE-L F by rouge-score {version('rouge-score')}, {how}, the first {LONGEST} tokens, best reference"
    return mean("rouge_l", values, method=about)


def bleu(outputs: Sequence[str], references: Sequence[Sequence[str]], language: str) -> Scores:
    """Corpus BLEU in [0, 1], case kept, sacrebleu's smoothing; tokens "zh" for Chinese, else "13a".

    Source:
        Papineni et al. (2002), BLEU; Post (2018), A call for clarity in reporting BLEU scores, arXiv:1804.08771.
    """
    metric = library("sacrebleu").BLEU(tokenize="zh" if language == "zh" else "13a", force=True)
    table, method = _counts(metric, "BLEU", outputs, references, 2 + 2 * ORDER)
    return Scores(metric="bleu", table=table, combine=corpus_bleu, method=method)


def chrf(outputs: Sequence[str], references: Sequence[Sequence[str]], language: str) -> Scores:  # noqa: ARG001 - as its neighbours; characters know no language
    """Corpus chrF2 in [0, 1], case kept, n-grams of up to 6 characters without whitespace.

    Source:
        Popović (2015), chrF: character n-gram F-score for automatic MT evaluation.
    """
    metric = library("sacrebleu").CHRF(char_order=CHARACTERS, word_order=0, beta=BETA)
    table, method = _counts(metric, "chrF2", outputs, references, 3 * CHARACTERS)
    return Scores(metric="chrf", table=table, combine=corpus_chrf, method=method)


def _counts(
    metric: Any, name: str, outputs: Sequence[str], references: Sequence[Sequence[str]], width: int
) -> tuple[NDArray[np.float64], str]:
    """Per row, sacrebleu's sufficient statistics and whether the row has a reference, shape (n, width + 1)."""
    table = np.zeros((len(outputs), width + 1))
    rows = [row for row, texts in enumerate(references) if texts]
    if not rows:
        return table, f"{name} by sacrebleu {version('sacrebleu')}"
    streams = [
        [references[row][i] if i < len(references[row]) else None for row in rows]
        for i in range(max(len(references[row]) for row in rows))
    ]
    # Private, but the only way to a row's counts that chrF has; a test holds their sums to `corpus_score`.
    table[rows, :width] = metric._extract_corpus_statistics([outputs[row] for row in rows], streams)
    table[rows, width] = 1
    return table, f"{name} of all rows by sacrebleu, {metric.get_signature().format()}"


def corpus_bleu(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """BLEU from sums [tokens written, tokens of the reference, matches × 4, n-grams × 4, rows], shape (..., 11).

    Without any row: NaN. Without any match, or with no n-gram of the highest order, 0, as sacrebleu has it.
    """
    written, wanted = sums[..., 0], sums[..., 1]
    matches, grams, rows = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER : -1], sums[..., -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # "exp" smoothing: each order without a match counts half of what the one before it did.
        halved = 2.0 ** np.cumsum(matches == 0, axis=-1)
        precisions = np.where(matches > 0, matches / grams, 1 / (halved * grams))
        brevity = np.minimum(1.0, np.exp(1 - wanted / written))
        value = brevity * np.exp(np.log(precisions).mean(axis=-1))
    none = (matches == 0).all(axis=-1) | (grams == 0).any(axis=-1)
    return np.where(rows > 0, np.where(none, 0.0, value), np.nan)


def corpus_chrf(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """chrF from sums [n-grams written, of the reference, shared] × 6 orders and [rows], shape (..., 19).

    Without any row: NaN. Orders that one side has no n-gram of don't count.
    """
    written, wanted, shared = (sums[..., i:-1:3] for i in range(3))
    counted = (written > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=-1), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(counted, shared / written, 0.0).sum(axis=-1) / orders
        recall = np.where(counted, shared / wanted, 0.0).sum(axis=-1) / orders
        value = (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
    return np.where(sums[..., -1] > 0, np.where(precision + recall > 0, value, 0.0), np.nan)
