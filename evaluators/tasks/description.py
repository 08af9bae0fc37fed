"""Product descriptions: true to the product's attributes, complete, readable, not all alike, and not copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.tasks import overlap, readability, sameness
from evaluators.tasks.attributes import Stated, Vocabulary
from evaluators.tasks.base import Item, Reply, Scores, mean, share
from evaluators.tasks.tokens import need, words
from evaluators.tasks.verbatim import longest_runs
from governance.measure import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_RUN = {"en": 12, "zh": 20}
_FOUND = (
    "values found by word, as the catalogue's answered rows spell them; of one character, bare numbers, yes and no left"
    " out"
)


@dataclass(frozen=True)
class Description:
    """Statements about attributes, likeness to references and to one another, readability, and what is copied.

    Whether a text states an attribute is a matter of words: see `evaluators.tasks.attributes`. `seen` holds texts that
    a model may have learned by heart ("its training texts"); those of all rows count for each row.

    Attributes:
        least_run: words (English) or characters (Chinese) in a row, from which on a text is called copied; None: 12
            and 20.
        others: texts that each text is compared with for self-BLEU, at most.
        seed: draws them.

    Raises:
        MissingExtra: sacrebleu, rouge-score, NLTK or syllapy isn't installed.
        ValueError: a setting is out of range.
    """

    name: ClassVar[str] = "description"
    texts: ClassVar[Mapping[str, bool]] = {"title": True, "category": False}
    lists: ClassVar[Mapping[str, bool]] = {"attributes": True, "references": False, "seen": False}
    hidden: ClassVar[frozenset[str]] = frozenset({"references", "seen"})
    main: ClassVar[str] = "attribute_precision"
    ranks: ClassVar[bool] = False

    least_run: int | None = None
    others: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("least_run", 1), ("others", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < 2**63:
                raise ValueError(f"{name}: expected a number from {least} on, got {value}")
        need("sacrebleu", "rouge_score", "nltk", "syllapy")

    def scores(self, items: Sequence[Item], replies: Sequence[Reply], *, language: str) -> Sequence[Scores]:
        """Every metric.

        Raises:
            DataError: an attribute isn't "name: value".
        """
        written = [(reply.words or "").strip() for reply in replies]
        references = [[text for text in item.lists.get("references", ()) if text.strip()] for item in items]
        keys = ["\n".join((item.texts["title"], *item.lists["attributes"])) for item in items]
        return [
            *_attributes(items, written),
            overlap.rouge_l(written, references, language),
            overlap.bleu(written, references, language),
            overlap.chrf(written, references, language),
            _length(written),
            readability.reading_ease(written, language),
            readability.sentence_length(written, language),
            readability.common_characters(written, language),
            *sameness.distinct(written, 1),
            *sameness.distinct(written, 2),
            sameness.self_bleu(written, keys, language, others=self.others, seed=self.seed),
            *self._copied(items, written, language),
        ]

    def _copied(self, items: Sequence[Item], written: Sequence[str], language: str) -> list[Scores]:
        """Against the seen texts of all rows; without any, neither is defined."""
        seen = dict.fromkeys(text for item in items for text in item.lists.get("seen", ()) if text.strip())
        least = self.least_run or LEAST_RUN[language]
        found = longest_runs([words(text) for text in written], [words(text) for text in seen])
        runs: list[int | None] = found.tolist() if seen else [None] * len(written)
        unit = "characters (a number or a Latin word counts as one)" if language == "zh" else "words"
        how = f"{unit} in a row that stand so in one of {len(seen)} texts seen, but for case and punctuation"
        return [
            mean(
                "verbatim_run",
                runs,
                method=f"most {how}; mean of rows",
                unit=Unit.COUNT,
                reach=(0.0, None),
                better="lower",
            ),
            share(
                "copied",
                [None if run is None else run >= least for run in runs],
                method=f"texts with at least {least} {how}",
                better="lower",
            ),
        ]


def _attributes(items: Sequence[Item], written: Sequence[str]) -> list[Scores]:
    vocabulary = Vocabulary([item.lists["attributes"] for item in items])
    stated: list[Stated] = []
    for item, text in zip(items, written, strict=True):
        besides = [item.texts["title"], item.texts.get("category", "")]
        stated.append(vocabulary.read(text, item.lists["attributes"], besides=besides))
    return [
        Scores(
            metric="attribute_precision",
            table=_pairs([(one.right, one.claims) for one in stated]),
            method=f"of statements about attributes that the product has, the true ones, over all texts; {_FOUND}",
            unit=Unit.RATE,
        ),
        Scores(
            metric="attribute_coverage",
            table=_pairs([(one.covered, one.given) for one in stated]),
            method=f"of attributes given, those whose value is stated, over all texts; {_FOUND}",
            unit=Unit.RATE,
        ),
        share(
            "contradiction",
            [one.contradicts if one.given else None for one in stated],
            method="texts that state another value of a given attribute and not the right one, or deny the right one;"
            f" {_FOUND}",
            better="lower",
        ),
    ]


def _pairs(counts: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    return np.array(counts, dtype=float).reshape(-1, 2)


def _length(written: Sequence[str]) -> Scores:
    return mean(
        "length",
        [float(len(text)) for text in written],
        method="characters of a text",
        unit=Unit.COUNT,
        reach=(0.0, None),
        better=None,
    )
