"""What models wrote or how they ranked, as Parquet: one file a model, in a stage and in the record alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluators.costs import Prices
from evaluators.tasks.base import Item, Reply, Scores, ratio
from evaluators.tasks.sheet import Answered
from governance import atrest
from governance.answers import keep
from governance.backends.base import Answer
from governance.dataset import ScrubbedItems
from governance.measure import Unit
from governance.modelconfig import ClosedModel, ModelConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

REFERENCES = ("reference_logprob", "reference_tokens", "reference_characters")
"""Sums over the first reference of a row under the model itself: natural logarithms, tokens, characters."""


_MOST = 700.0  # e**700 is finite


@dataclass(frozen=True)
class Given:
    """One model's answers, read back.

    Attributes:
        index: positions of the rows that were asked, ascending, shape (m,).
        answers: one per row.
        references: one of `REFERENCES` -> values, shape (m,), NaN where there are none; empty where nobody asked.
    """

    index: NDArray[np.int64]
    answers: tuple[Answer, ...]
    references: Mapping[str, NDArray[np.float64]]


def save_replies(
    path: Path,
    index: NDArray[np.int64],
    rows: NDArray[np.int64],
    clusters: NDArray[np.int64],
    answers: Sequence[Answer],
    references: Mapping[str, Sequence[float]],
) -> Path:
    """Write answers; encrypted where a record key is set and they hold words.

    Args:
        path: of the file.
        index: positions among the audit's rows, shape (m,).
        rows: their numbers in the source, shape (m,).
        clusters: their codes, shape (m,).
        answers: one per row.
        references: see `Given.references`.

    Returns:
        Where the file is.
    """
    import pyarrow as pa

    columns = {
        "index": pa.array(index, pa.int64()),
        "row": pa.array(rows, pa.int64()),
        "cluster": pa.array(clusters, pa.int64()),
        "output": pa.array([answer.output for answer in answers], pa.string()),
        "scores": pa.array([answer.scores for answer in answers], pa.list_(pa.float64())),
        "failure": pa.array([answer.failure for answer in answers], pa.string()),
        "seconds": pa.array([answer.seconds for answer in answers], pa.float64()),
        "tokens_in": pa.array([answer.tokens_in for answer in answers], pa.int64()),
        "tokens_out": pa.array([answer.tokens_out for answer in answers], pa.int64()),
        "personal": pa.array([answer.personal for answer in answers], pa.int64()),
        "version": pa.array([answer.version for answer in answers], pa.string()),
        **{name: pa.array(values, pa.float64()) for name, values in references.items()},
    }
    return keep(pa.table(columns), path)


def copy_replies(source: Path, target: Path, clusters: NDArray[np.int64]) -> Path:
    """Copy what `save_replies` wrote; returns where it is, as that does.

    Args:
        source: a stage's file.
        target: the record's.
        clusters: of the audit's rows, shape (n,); a stage may be older than what the config calls a cluster.

    Raises:
        RecordError: it is encrypted, and the key is missing or another's.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(atrest.plain(source))
    place = table.column_names.index("cluster")
    own = pa.array(clusters[table["index"].to_numpy()], pa.int64())
    return keep(table.set_column(place, "cluster", own), target)


def load_replies(path: Path) -> Given:
    """Read what `save_replies` wrote.

    Raises:
        RecordError: it is encrypted, and the key is missing or another's.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(atrest.plain(path)).sort_by("index")
    names = ("output", "scores", "failure", "seconds", "tokens_in", "tokens_out", "personal", "version")
    columns = {name: table[name].to_pylist() for name in names}
    answers = []
    for place in range(len(table)):
        one = {name: values[place] for name, values in columns.items()}
        scores = one.pop("scores")
        answers.append(Answer(**one, scores=None if scores is None else tuple(scores)))
    references = {name: table[name].to_numpy().astype(float) for name in REFERENCES if name in table.column_names}
    return Given(table["index"].to_numpy(), tuple(answers), references)


def items_of(items: ScrubbedItems) -> list[Item]:
    """The rows as tasks see them."""
    texts = {role: [text.text for text in values] for role, values in items.texts.items()}
    lists = {role: [tuple(text.text for text in several) for several in values] for role, values in items.lists.items()}
    return [
        Item(
            texts={role: values[row] for role, values in texts.items()},
            lists={role: values[row] for role, values in lists.items()},
        )
        for row in range(len(items))
    ]


def answered_by(name: str, given: Given, config: ModelConfig, versions: Mapping[str, int]) -> Answered:
    """One model's answers as the sheet sees them.

    Args:
        name: of the model.
        given: its answers.
        config: of the model: its prices.
        versions: that its endpoint reported -> messages.
    """
    price = config.price_per_million_tokens if isinstance(config, ClosedModel) else None
    replies = tuple(_reply(answer) for answer in given.answers)
    return Answered(
        model=name,
        index=given.index,
        replies=replies,
        seconds=np.array([answer.seconds for answer in given.answers], dtype=float),
        tokens_in=_counts([answer.tokens_in for answer in given.answers]),
        tokens_out=_counts([answer.tokens_out for answer in given.answers]),
        prices=Prices(config.price_per_hour, (price.read, price.written) if price else None, config.currency),
        versions=versions if isinstance(config, ClosedModel) else None,
        more=_likelihoods(given),
    )


def _reply(answer: Answer) -> Reply | None:
    if answer.failure is not None:
        return None
    return Reply(answer.output, None if answer.scores is None else np.array(answer.scores))


def _counts(values: Sequence[int | None]) -> NDArray[np.int64] | None:
    """Token counts; rows that failed before they were counted have none spent."""
    return None if all(value is None for value in values) else np.array([value or 0 for value in values])


def _likelihoods(given: Given) -> tuple[Scores, ...]:
    """Perplexity of the references, and bits per character, which models of different tokens share."""
    if not given.references:
        return ()
    sums, tokens, letters = (given.references[name] for name in REFERENCES)
    kept = np.isfinite(sums) & (letters > 0)
    lost = np.where(kept, -sums, 0.0)
    by_token = np.column_stack([lost, np.where(kept, tokens, 0.0)])
    by_letter = np.column_stack([lost / np.log(2), np.where(kept, letters, 0.0)])
    said = "of the first reference under the model itself, its first token aside"
    return (
        Scores(
            "perplexity", by_token, f"per token, {said}", Unit.UNITS, _perplexity, reach=(1.0, None), better=None
        ),
        Scores(
            "bits_per_character", by_letter, f"bits per character {said}", Unit.UNITS, reach=(0.0, None),
            better="lower",
        ),
    )  # fmt: skip


def _perplexity(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(np.minimum(ratio(sums), _MOST))
