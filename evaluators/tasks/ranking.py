"""Which reply fits? Candidates in the order that a model's scores put them in, with every tie held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from evaluators.tasks.base import Item, Reply, Scores, mean
from evaluators.tasks.tokens import library, need

if TYPE_CHECKING:
    from numpy.typing import NDArray

_METHOD = (
    "{measure} by ir-measures {version}; of candidates with the same score the wrong ones come first; rows"
    " without a right candidate are left out"
)


@dataclass(frozen=True)
class Ranking:
    """Reciprocal rank of the first right candidate, recall in the first 1 and 5, and NDCG in the first 10.

    A candidate is right if it equals, but for whitespace around it, one of the row's right texts. Ties are broken
    pessimistically: in files the right candidate often stands first, and a model that scores all
    alike must not gain by that order.

    Raises:
        MissingExtra: ir-measures or pytrec-eval-terrier isn't installed.

    Source:
        MacAvaney, Macdonald and Ounis (2022), ir-measures, arXiv:2111.13466; McSherry and Najork (2008), Computing
        information retrieval performance measures efficiently in the presence of tied scores (what ties do).
    """

    name: ClassVar[str] = "ranking"
    texts: ClassVar[Mapping[str, bool]] = {"query": True}
    lists: ClassVar[Mapping[str, bool]] = {"candidates": True, "relevant": True}
    hidden: ClassVar[frozenset[str]] = frozenset({"relevant"})
    main: ClassVar[str] = "mrr"
    ranks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        need("ir_measures", "pytrec_eval")

    def scores(self, items: Sequence[Item], replies: Sequence[Reply], *, language: str) -> Sequence[Scores]:  # noqa: ARG002 - candidates are compared as they are
        """Every metric, a mean of rows."""
        ir = library("ir_measures")
        measures = {"mrr": ir.RR, "recall_at_1": ir.R @ 1, "recall_at_5": ir.R @ 5, "ndcg_at_10": ir.nDCG @ 10}
        right: dict[str, dict[str, int]] = {}
        runs: dict[str, dict[str, float]] = {}
        for row, (item, reply) in enumerate(zip(items, replies, strict=True)):
            relevant = _relevant(item)
            if not any(relevant):
                continue
            places = pessimistic_places(np.asarray(reply.scores, dtype=float), np.array(relevant))
            right[str(row)] = {str(i): int(is_right) for i, is_right in enumerate(relevant)}
            # trec_eval breaks ties by name, in single precision, so it is given places, which are distinct.
            runs[str(row)] = {str(i): float(len(places) - place) for i, place in enumerate(places)}
        values: dict[str, list[float | None]] = {str(one): [None] * len(items) for one in measures.values()}
        for found in ir.iter_calc(list(measures.values()), right, runs) if right else ():
            values[str(found.measure)][int(found.query_id)] = float(found.value)
        return [
            mean(name, values[str(one)], method=_METHOD.format(measure=one, version=ir.__version__))
            for name, one in measures.items()
        ]


def _relevant(item: Item) -> list[bool]:
    right = {text.strip() for text in item.lists["relevant"]} - {""}
    return [text.strip() in right for text in item.lists["candidates"]]


def pessimistic_places(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each candidate, from 0 on, by falling score; among equal scores the relevant ones last.

    Args:
        scores: shape (c,), finite.
        relevant: bool, shape (c,).

    Raises:
        ValueError: not one finite score per candidate.

    >>> pessimistic_places(np.array([0.5, 0.5, 0.9]), np.array([True, False, False])).tolist()
    [2, 1, 0]
    """
    if scores.shape != relevant.shape or not np.isfinite(scores).all():
        raise ValueError(f"expected {len(relevant)} finite scores, one per candidate")
    order = np.lexsort((relevant, -scores))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places
