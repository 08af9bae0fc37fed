"""What the texts of an audit look like, summarised while they are there: a record holds no texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from governance.cleaning import folded
from governance.datafacts import FEW, Axis, CrossTable, DataStatistics, Overlap, Side, Suspects
from governance.dataset import ScrubbedDataset, ScrubbedItems
from governance.inputs import script_of, words_of
from governance.measure import reading_order
from governance.similar import similar_to_known
from governance.training.tfidf import counted_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MOST = 50  # labels, and values of a group column, that are told apart
NEAR = 0.8  # of the character 4-grams in common
KNOWN, ASKED = 20_000, 5_000  # training and held-out rows compared, at most
FOLDS = 5
LEAST = 2 * FOLDS  # rows of a class that is judged
MAX_FEATURES = 50_000  # the baseline's
EXAMINED, EXAMINED_CELLS = 10_000, 60_000  # training rows at most, and rows times classes


@dataclass(frozen=True, slots=True)
class Texts:
    """Scrubbed texts of one side, all of one length n.

    Attributes:
        labels: empty where the task has none.
        groups: column -> one value per row; None where the source has none.
    """

    texts: Sequence[str]
    labels: Sequence[str] = ()
    groups: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: ScrubbedDataset) -> Texts:
        """Rows whose answer is a class."""
        return cls([text.text for text in rows.texts], rows.labels, rows.groups)

    @classmethod
    def of_items(cls, items: ScrubbedItems, shown: Sequence[str]) -> Texts:
        """Rows whose answer is words or a ranking: what models are shown of each, lists aside, is its text."""
        parts = [items.texts[role] for role in shown if role in items.texts]
        return cls([" ".join(text.text for text in row) for row in zip(*parts, strict=True)], groups=items.groups)


def statistics_of(train: Texts, test: Texts, *, language: str, seed: int) -> DataStatistics:
    """Summarise both sides of a split; the same rows and seed give the same figures.

    Args:
        train: may be empty.
        test: likewise; with the same columns.
        language: of the texts, "en" or "zh".
        seed: of the samples, where there are more rows than are compared or judged.
    """
    suspects, absent = _suspects(train, language, seed) if train.labels else (None, None)
    return DataStatistics(
        tables=tuple(_table(train, test, column) for column in test.groups),
        train=_side(train.texts),
        test=_side(test.texts),
        conflicting=_conflicting((*train.texts, *test.texts), (*train.labels, *test.labels)) if test.labels else None,
        overlap=_overlap(train.texts, test.texts, seed),
        suspects=suspects,
        no_suspects=absent,
    )


def _side(texts: Sequence[str]) -> Side | None:
    if not texts:
        return None
    scripts = Counter(map(script_of, texts))
    told = {name: n for name, n in sorted(scripts.items(), key=lambda one: (-one[1], one[0])) if n >= FEW}
    if told and 0 < len(texts) - sum(told.values()) < FEW:  # else the total would give the few away
        told.popitem()
    return Side(
        rows=len(texts),
        characters=_quantiles([len(text) for text in texts]),
        words=_quantiles([len(words_of(text)) for text in texts]),
        scripts=told,
        scripts_few=len(texts) - sum(told.values()),
        repeated=len(texts) - len(set(texts)),
    )


def _quantiles(lengths: Sequence[int]) -> dict[str, int]:
    """Lengths of real rows, where at least `FEW` rows lie on either side."""
    told = [share for share in QUANTILES if len(lengths) * min(share, 1 - share) >= FEW]
    found = np.quantile(np.array(lengths), told, method="inverted_cdf") if told else []
    return {f"{share:g}": int(value) for share, value in zip(told, found, strict=True)}


def _conflicting(texts: Sequence[str], labels: Sequence[str]) -> int:
    by_text = defaultdict[str, list[str]](list)
    for text, label in zip(texts, labels, strict=True):
        by_text[text].append(label)
    return sum(len(found) for found in by_text.values() if len(set(found)) > 1)


def _table(train: Texts, test: Texts, column: str) -> CrossTable:
    values = (*train.groups.get(column, ()), *test.groups[column])
    labels: Sequence[str | None] = (*train.labels, *test.labels) or (None,) * len(values)
    pairs = Counter(zip(labels, values, strict=True))
    rows = _axis(None, Counter(labels), {label for (label, _), n in pairs.items() if n >= FEW})
    columns = _axis(column, Counter(values), {value for (_, value), n in pairs.items() if n >= FEW})
    counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
    places = [{name: place for place, name in enumerate(axis.names)} for axis in (rows, columns)]
    for (label, value), n in pairs.items():
        counts[places[0].get(label, len(rows) - 1), places[1].get(value, len(columns) - 1)] += n
    shown = shown_cells(counts)
    return CrossTable(
        labels=rows,
        groups=columns,
        counts=tuple(
            tuple(int(n) if told else None for n, told in zip(line, seen, strict=True))
            for line, seen in zip(counts, shown, strict=True)
        ),
    )


def _axis(column: str | None, found: Mapping[str | None, int], common: set[str | None]) -> Axis:
    """The most common names. One without a cell that can be told might be somebody's own: it goes unnamed."""
    told = sorted(common, key=lambda name: (-found[name], name or ""))[:MOST]
    ordered = sorted(told, key=lambda name: (name is None, reading_order(name or "")))
    return Axis(column=column, names=tuple(ordered), merged=len(found) - len(told))


def shown_cells(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which cells of a table can be told, shape (r, c): none under `FEW`, and none that its row or column tells.

    Rows and columns have totals that stand elsewhere in a record. So where a line hides one cell, or cells of fewer
    than `FEW` rows together, its smallest other cell is hidden too.
    """
    shown = counts >= FEW
    while True:
        before = shown.copy()
        for numbers, seen in ((counts, shown), (counts.T, shown.T)):
            for line, told in zip(numbers, seen, strict=True):
                hidden = ~told
                if hidden.any() and told.any() and (hidden.sum() < 2 or line[hidden].sum() < FEW):
                    told[np.argmin(np.where(told, line, np.iinfo(np.int64).max))] = False
        if (before == shown).all():
            return shown


def _overlap(train: Sequence[str], test: Sequence[str], seed: int) -> Overlap | None:
    if not train or not test:
        return None
    known = [folded(train[i]) for i in sampled(len(train), KNOWN, seed)]
    asked = [folded(test[i]) for i in sampled(len(test), ASKED, seed)]
    return Overlap(share=NEAR, rows=len(asked), near=len(similar_to_known(asked, known, NEAR)), known=len(known))


def sampled(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Positions of at most so many of n rows, in order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _suspects(train: Texts, language: str, seed: int) -> tuple[Suspects | None, str | None]:
    positions = sampled(len(train.texts), min(EXAMINED, EXAMINED_CELLS // len(set(train.labels)) + 1), seed)
    counts = Counter(train.labels[i] for i in positions)
    judged = [int(i) for i in positions if counts[train.labels[i]] >= LEAST]
    labels = [train.labels[i] for i in judged]
    if len(set(labels)) < 2:
        return None, f"fewer than two classes have {LEAST} of the training rows looked at"
    doubts = label_doubts([train.texts[i] for i in judged], labels, language=language, seed=seed)
    if doubts is None:
        return None, "no training text holds a word"
    found = Counter(label for label, doubt in zip(labels, doubts, strict=True) if doubt)
    classes = sorted(set(labels))
    return Suspects(
        examined={name: counts[name] for name in classes},
        suspected={name: found[name] for name in classes},
        folds=FOLDS,
    ), None


def label_doubts(texts: Sequence[str], labels: Sequence[str], *, language: str, seed: int) -> NDArray[np.bool_] | None:
    """Which labels the interpretable baseline doubts when it has not seen them, shape (n,); None: no text has a word.

    Args:
        texts: scrubbed, n of them.
        labels: of two classes or more, each with at least `FOLDS` rows.
        language: of the texts.
        seed: of the folds and the solver.
    """
    _, codes = np.unique(np.array(labels), return_inverse=True)
    chances = _held_out_chances(texts, codes, language, seed)
    return None if chances is None else doubted(chances, codes)


def _held_out_chances(
    texts: Sequence[str], codes: NDArray[np.int64], language: str, seed: int
) -> NDArray[np.float64] | None:
    """The baseline's probability of each class, shape (n, k), each row's by a model that has not seen its label."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    words = counted_words(language, MAX_FEATURES)
    try:
        counted = words.fit_transform(texts)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        return None
    model = LogisticRegression(max_iter=1000, random_state=seed, class_weight="balanced")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    with threadpool_limits(1):
        return np.asarray(cross_val_predict(model, counted, codes, cv=folds, method="predict_proba"))


def doubted(chances: NDArray[np.float64], codes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows off the diagonal of the confident joint, shape (n,).

    A row counts for the likeliest of the classes that it reaches the threshold of: the mean probability of that class
    over the rows labelled so. Where that is another class than its label, the label is in doubt.

    Args:
        chances: out-of-sample probabilities, shape (n, k).
        codes: the labels given, shape (n,); each of the k classes occurs.

    Source:
        Northcutt, Jiang and Chuang (2021), "Confident learning: estimating uncertainty in dataset labels", section 3.
    """
    thresholds = np.array([chances[codes == k, k].mean() for k in range(chances.shape[1])])
    reached = np.where(chances >= thresholds, chances, -1.0)
    return np.asarray((reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != codes))
