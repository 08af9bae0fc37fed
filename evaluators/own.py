"""Metrics of the user's own for an audit of labels: classes, named in the config, that score one answer at a time.

The same classes serve audits whose models write: here the answer's words are the label that the model chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.base import HELD_OUT, Probe, Setting, Subject
from evaluators.tasks.base import Item, Reply, Scores
from evaluators.tasks.own import FAMILY, Own, load_own
from evaluators.tasks.service import Sheet
from evaluators.tasks.sheet import difference, figure
from governance.comparison import holm_adjusted
from governance.errors import ConfigError
from governance.measure import Outcome
from governance.statistics.bootstrap import DRAWS, LEAST_DRAWS
from governance.store import code_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

TASK = "classification"


@dataclass(frozen=True)
class OwnMetrics:
    """Own metrics of every model on the held-out rows that it answered, and paired differences from the incumbent.

    A metric sees `Item(texts={"text": ...}, lists={"label": (true label,)})` and `Reply(words=predicted label)`.

    Attributes:
        metrics: classes as "module:Class", or, with settings, as {name: "module:Class", ...}.
        code: the user's word that the modules may be run in this process; nothing of them is, without it.
        draws: resamples behind the intervals.
    """

    metrics: tuple[str | Mapping[str, Any] | Own, ...] = ()
    code: bool = False
    draws: int = DRAWS

    def __post_init__(self) -> None:
        if self.draws < LEAST_DRAWS:
            raise ValueError(f"draws: expected at least {LEAST_DRAWS}, got {self.draws}")
        if not isinstance(self.metrics, tuple):
            raise TypeError('metrics: expected a list of classes as "module:Class"')

    def read(self, folder: Path, language: str) -> OwnMetrics:  # noqa: ARG002 - the protocol's
        """See `Reads`: this runs the user's modules."""
        if not self.metrics:
            raise ConfigError('metrics: expected at least one class as "module:Class"')
        if not self.code:
            raise ConfigError(
                "code: expected true, since these classes are run in this process and may do what you may"
            )
        made = tuple(one if isinstance(one, Own) else _made(place, one) for place, one in enumerate(self.metrics))
        names = [one.metric.name for one in made]
        for place, name in enumerate(names):
            if names.index(name) != place:
                raise ConfigError(f"metrics.{place}: a metric named '{name}' stands twice")
        return replace(self, metrics=made)

    def digests(self) -> Mapping[str, str]:
        """See `Reads`."""
        return {one.metric.name: code_digest(type(one.metric).__module__) for one in self._read}

    def names(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """See `Reads`: their figures have no slices."""
        return {}

    @property
    def _read(self) -> list[Own]:
        return [one for one in self.metrics if isinstance(one, Own)]

    def probes(self, setting: Setting) -> Sequence[Probe]:  # noqa: ARG002 - the protocol's
        """None: the held-out rows are all it needs."""
        return ()

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Every metric of every subject, measured or not, and its differences."""
        outcomes: list[Outcome] = []
        for own in self._read:
            scored = {subject.name: _scored(own, subject, setting) for subject in subjects}
            sheet = partial(_sheet, setting, self.draws)
            metric = f"{FAMILY}.{own.metric.name}"
            for name, (rows, scores) in scored.items():
                made = sheet(name, rows)
                outcomes.append(
                    figure(made, scores) if scores else made.missing(metric, "no held-out row was answered")
                )
            incumbent, better = setting.incumbent, getattr(own.metric, "better", "higher")
            if incumbent is not None and incumbent in scored and better is not None:
                others = [name for name in scored if name != incumbent]
                outcomes += holm_adjusted([_against(scored, name, incumbent, metric, sheet) for name in others])
        return outcomes


_Scored = tuple["NDArray[np.int64]", Scores | None]


def _made(place: int, entry: str | Mapping[str, Any]) -> Own:
    given = {"name": entry} if isinstance(entry, str) else entry
    name = given.get("name") if isinstance(given, Mapping) else None
    if not isinstance(name, str) or name.count(":") != 1:
        raise ConfigError(f'metrics.{place}: expected a class as "module:Class", or a mapping with such a name')
    try:
        return load_own(name, {key: value for key, value in given.items() if key != "name"})
    except ConfigError as error:
        raise ConfigError(f"metrics.{place}: {error}") from None


def _sheet(setting: Setting, draws: int, model: str, rows: NDArray[np.int64]) -> Sheet:
    return Sheet(model, TASK, setting.test.clusters[rows], setting.level, setting.seed, draws)


def _scored(own: Own, subject: Subject, setting: Setting) -> _Scored:
    """The rows that a model answered, and their scores; None: there are none."""
    answers, test = subject.answers[HELD_OUT], setting.test
    rows = answers.index[answers.answered]
    items = [Item({"text": test.texts[row].text}, {"label": (test.labels[row],)}) for row in rows]
    replies = [Reply(words=label) for label in answers.labels if label is not None]
    return rows, own(items, replies, language=setting.language) if items else None


def _against(
    scored: Mapping[str, _Scored],
    name: str,
    reference: str,
    metric: str,
    sheet: partial[Sheet],
) -> Outcome:
    """`name - reference` on the rows that both answered."""
    (mine, scores), (theirs, others) = scored[name], scored[reference]
    shared, left, right = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    made = sheet(name, shared)
    if scores is None or others is None or not shared.size:
        return made.missing(f"{metric}.difference", "no row was answered by both models", reference=reference)
    counts = {"only_model": len(mine) - len(shared), "only_reference": len(theirs) - len(shared)}
    return difference(made, scores, scores.table[left], others.table[right], reference, counts)
