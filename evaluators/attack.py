"""The loss-threshold attack on one model: whom it asks about, what it ranks them by, and why it can't be run.

Not an evaluator: what an evaluator of one attack and one of two attacks side by side share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.base import HELD_OUT, Predictions, Setting, Subject
from governance.backends.base import Capability
from governance.dataset import ScrubbedDataset
from governance.statistics.bootstrap import Ranking

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.dataset import Labels

MEMBERS = "members"
"""The name of the probe set that holds training rows."""


def members(setting: Setting, rows: int) -> ScrubbedDataset:
    """The training rows that are asked, at most `rows`; the same in every moment: they depend on the setting alone."""
    n = len(setting.train)
    picked = np.random.default_rng(setting.seed).choice(n, size=min(rows, n), replace=False)
    return setting.train.take(np.sort(picked))


@dataclass(frozen=True)
class Attacked:
    """Rows that the attacker ranks.

    Attributes:
        scores: log of the true class's probability, shape (n,).
        clusters: shape (n,).
        member: whether the row was trained on, shape (n,).
    """

    scores: NDArray[np.float64]
    clusters: NDArray[np.int64]
    member: NDArray[np.bool_]

    def take(self, rows: NDArray[np.bool_]) -> Attacked:
        """These rows alone."""
        return Attacked(self.scores[rows], self.clusters[rows], self.member[rows])

    def ranking(self) -> Ranking:
        """As the attacker ranks them."""
        return Ranking(self.scores, self.member)

    @property
    def fewest(self) -> int:
        """Clusters on the side that has fewer."""
        return min(len(np.unique(self.clusters[side])) for side in (self.member, ~self.member))


def why_not(subject: Subject) -> str | None:
    """Why a model can't be attacked, if so."""
    if not subject.trained:
        return "not trained by this audit, so its training data are unknown"
    if Capability.SCORES not in subject.capabilities or subject.answers[HELD_OUT].scores is None:
        return "gives labels without scores"
    if MEMBERS not in subject.answers or subject.answers[MEMBERS].scores is None:
        return "was not asked about its training rows"
    return None


def confidence(
    answers: Predictions, asked: ScrubbedDataset, labels: Labels
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """log p(true label) of each row with scores, and which rows of `asked` these are.

    Args:
        answers: of a model that `why_not` has nothing against.
        asked: the rows that `answers.index` points into.
        labels: the task's classes.
    """
    assert answers.scores is not None  # noqa: S101 - narrows the type; `why_not` looked
    truth = labels.codes(asked.labels)[answers.index]
    chance = answers.scores[np.arange(len(truth)), truth]
    scored = np.isfinite(chance)
    # A probability that underflowed to 0 still ranks lowest, without an infinite loss.
    return np.log(np.maximum(chance[scored], np.finfo(float).tiny)), answers.index[scored]
