"""What an evaluator sees, and what it must answer.

An evaluator is a frozen dataclass whose fields are its settings. It has up to three
moments: `probes` (extra rows that the models should answer, through the same cache and
budget) and `measure`, which sees all models at once, so that differences are paired.
No evaluator imports another, and none sees the config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from governance.backends.base import Backend, Capability
from governance.claims import PrivacyClaim
from governance.curves import Curve
from governance.dataset import Labels, ModelText, ScrubbedDataset
from governance.measure import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT = "held-out"
"""The name of the probe set that every model answers: the test rows."""


@dataclass(frozen=True)
class Predictions:
    """One model's answers to one set of rows, as columns of length n.

    Attributes:
        index: position of each answered row in the set it belongs to, ascending; a model may be
            weighed on fewer rows than there are.
        labels: predicted class, None where the row failed.
        scores: shape (n, classes), NaN rows where the row failed; None where the model gives none.
        failures: why a row failed, None where it did not.
        seconds: time per row.
        tokens_in: tokens read per row; None where the model doesn't count.
        tokens_out: tokens written per row.
        outputs: what a generating model said, scrubbed; None for models that emit labels alone.
        personal: pieces of personal data scrubbed from each output.
    """

    index: NDArray[np.int64]
    labels: tuple[str | None, ...]
    scores: NDArray[np.float64] | None
    failures: tuple[str | None, ...]
    seconds: NDArray[np.float64]
    tokens_in: NDArray[np.int64] | None
    tokens_out: NDArray[np.int64] | None
    outputs: tuple[str | None, ...] | None
    personal: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Rows with a label, shape (n,)."""
        return np.array([label is not None for label in self.labels], dtype=bool)


@dataclass(frozen=True)
class Subject:
    """One model, as much of it as an evaluator may look at.

    Attributes:
        name: its name in the config.
        capabilities: what it can do.
        answers: set name -> its answers; `HELD_OUT` is always there.
        trained: whether this audit trained it on the training rows.
        claim: its privacy claim, if it was trained privately.
        price_per_hour: what an hour of its hardware costs, in `currency`; None: not stated.
        price_per_million_tokens: (read, written) in `currency`; None: not stated.
        model: loads the model itself, for evaluators that need more than answers.
        of: the model that this one is a fairer version of, if it is one.
        mitigates: the group column between whose values it is meant to be fairer.
        wordings: prompt -> name of its answers to held-out rows, the first being `HELD_OUT`; of models that are asked
            by prompts.
        twin_of: the model that this one is but for one thing, if it is one.
        twin_by: that thing: "differential-privacy", "scrubbing", "quantised" or "distilled".
        versions: name and version that its endpoint reported -> messages; None: it is behind no endpoint.
    """

    name: str
    capabilities: frozenset[Capability]
    answers: Mapping[str, Predictions]
    trained: bool
    claim: PrivacyClaim | None = None
    price_per_hour: float | None = None
    price_per_million_tokens: tuple[float, float] | None = None
    currency: str = "USD"
    model: Callable[[], Backend] | None = None
    of: str | None = None
    mitigates: str | None = None
    wordings: Mapping[str, str] = field(default_factory=dict)
    twin_of: str | None = None
    twin_by: str | None = None
    versions: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Found:
    """One piece of personal data that the scrubber found: where and what kind, never the value."""

    entity: str
    start: int
    end: int


@dataclass(frozen=True)
class Setting:
    """What all subjects of an audit share.

    Attributes:
        labels: the task's classes.
        train: rows that trained models have seen.
        test: held-out rows; `Predictions.index` of `HELD_OUT` points into them.
        incumbent: the system to beat, if the config names one.
        find_personal: finds personal data in text of our own making, one list per text: lets an
            evaluator test the very scrubber that the audit used.
        language: "en" or "zh": which probes speak the data's language.
        level: confidence level of every interval.
        seed: of everything random in an evaluator.
    """

    labels: Labels
    train: ScrubbedDataset
    test: ScrubbedDataset
    find_personal: Callable[[Sequence[str]], Sequence[Sequence[Found]]]
    language: str = "en"
    incumbent: str | None = None
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Probe:
    """Extra rows that models should answer.

    Attributes:
        name: key of the answers in `Subject.answers`; unique in an audit.
        texts: what the models are asked.
        trained_only: ask only models that this audit trained.
        needs: capabilities without which a model is not asked.
    """

    name: str
    texts: tuple[ModelText, ...]
    trained_only: bool = False
    needs: frozenset[Capability] = field(default_factory=frozenset)


class Evaluator(Protocol):
    """Measures one aspect of the models under audit. Same subjects and seed, same outcomes."""

    def probes(self, setting: Setting) -> Sequence[Probe]:
        """Extra rows to ask; usually none."""
        ...

    def measure(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Outcome]:
        """Outcomes for every subject: a number, a fact, or why there is neither."""
        ...


@runtime_checkable
class Draws(Protocol):
    """An evaluator that has curves to show beside its outcomes."""

    def curves(self, subjects: Sequence[Subject], setting: Setting) -> Sequence[Curve]:
        """At most one of each kind for every subject; none where there is nothing to draw."""
        ...


@runtime_checkable
class Reads(Protocol):
    """An evaluator whose settings name a file or code: it is read before anything is paid for."""

    def read(self, folder: Path, language: str) -> Evaluator:
        """Itself, with what its settings name read.

        Args:
            folder: of the config, from which paths start.
            language: of the audit.

        Raises:
            ConfigError: what is named isn't there or can't be used.
        """
        ...

    def digests(self) -> Mapping[str, str]:
        """What was read -> its digest, which is a part of the run's identity."""
        ...

    def names(self) -> Mapping[str, Mapping[str, Mapping[str, str]]]:
        """Names for people of what its slices hold: column -> value -> language -> name; for the record."""
        ...
