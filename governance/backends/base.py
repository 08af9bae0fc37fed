"""What a model must offer to be weighed: declared capabilities, and answers or failures as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from governance.dataset import ModelText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Capability(StrEnum):
    """What a backend can do. An evaluator that needs one it lacks says `NotMeasured`."""

    CLASSIFY = "classify"
    SCORES = "scores"  # a probability per class, not only a label
    WEIGHTS = "weights"  # one readable weight per word and class
    TOKENS = "tokens"  # counts tokens, so it can be priced by them
    ROWS = "rows"  # answers rows of the data, by their number; without "classify", nothing else


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row's answer. Exactly one of `label` and `failure` is set.

    Attributes:
        label: predicted class.
        failure: why there is none ("timed out", "answer is not a label"); never holds the row's text.
        scores: probability per class in the task's order, or None where the model gives none.
        seconds: wall-clock time of this row; batched models share a batch's time evenly.
        tokens_in: tokens read, where counted.
        tokens_out: tokens written, where counted.
        output: what a generating model said, scrubbed; None for models that emit labels alone.
        personal: pieces of personal data that the scrubber took out of `output`.
        version: the model's name and version as the endpoint behind it reported with this answer.
    """

    label: str | None = None
    failure: str | None = None
    scores: tuple[float, ...] | None = None
    seconds: float = 0.0
    tokens_in: int | None = None
    tokens_out: int | None = None
    output: str | None = None
    personal: int = 0
    version: str | None = None

    def __post_init__(self) -> None:
        if (self.label is None) == (self.failure is None):
            raise ValueError("an answer has either a label or a failure")


@dataclass(frozen=True, slots=True)
class WordWeight:
    """One word's pull towards a class, in log-odds per unit of its feature."""

    word: str
    label: str
    weight: float


class Backend(Protocol):
    """A model under audit. It never raises for one bad row: it answers with a failure."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What may be asked of it."""
        ...

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """One answer per text, in order."""
        ...

    def close(self) -> None:
        """Free what it holds: memory, connections, servers."""
        ...


class Explains(Protocol):
    """A backend with `Capability.WEIGHTS`."""

    def weights(self, per_class: int) -> Sequence[WordWeight]:
        """The weightiest words of each class, heaviest first."""
        ...


class DecidesByGroup(Protocol):
    """A backend whose decision, though not whose model, uses the value of a sensitive column.

    Rows of the data have such values; texts that an evaluator makes up have none, and are asked through `classify`.
    """

    def classify_in_groups(self, texts: Sequence[ModelText], groups: Sequence[str | None]) -> Sequence[Answer]:
        """One answer per text and its group's value, in order; None: the row has no value."""
        ...


class ByRow(Protocol):
    """A backend with `Capability.ROWS`: it knows the answers to rows of the data, whatever their text."""

    def classify_rows(self, rows: Sequence[int]) -> Sequence[Answer]:
        """One answer per row, in order; a row is named by its number in the data's source."""
        ...


class Featured(Backend, Protocol):
    """A backend that shows what its last layer works on."""

    def features(self, texts: Sequence[ModelText]) -> tuple[Any, NDArray[np.float64]]:
        """Features, shape (n, d), an array or a CSR matrix, and the seconds that each text took, shape (n,)."""
        ...
