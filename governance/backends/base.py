"""What a model must offer to be weighed: declared capabilities, and answers or failures as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from governance.dataset import ModelText

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from governance.backends.prompts import BoundPrompt


class Capability(StrEnum):
    """What a backend can do. An evaluator that needs one it lacks says `NotMeasured`."""

    CLASSIFY = "classify"
    SCORES = "scores"  # a probability per class, not only a label
    WEIGHTS = "weights"  # one readable weight per word and class
    TOKENS = "tokens"  # counts tokens, so it can be priced by them
    ROWS = "rows"  # answers rows of the data, by their number; without "classify", nothing else
    WRITE = "write"  # answers a request in words: its own, or a piece of a text that it was given
    RANK = "rank"  # scores the candidates of a request
    EMBED = "embed"  # a vector per text
    LOGPROBS = "logprobs"  # how likely it finds a text, token by token


@dataclass(frozen=True, slots=True)
class Request:
    """One row as a model may see it, in named parts that a prompt puts into words.

    Attributes:
        fields: name -> text ("question", "context").
        candidates: what is to be ranked for it, in the data's order; empty where nothing is.
    """

    fields: Mapping[str, ModelText]
    candidates: tuple[ModelText, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One row's answer: a label, an `output` in words or a score per candidate, or a failure and nothing of these.

    Attributes:
        label: predicted class.
        failure: why there is none ("timed out", "answer is not a label"); never holds the row's text.
        scores: probability per class in the task's order, or score per candidate in the request's, higher is better;
            None where the model gives none.
        seconds: wall-clock time of this row; batched models share a batch's time evenly.
        tokens_in: tokens read, where counted.
        tokens_out: tokens written, where counted.
        output: what a model wrote, scrubbed; None for models that emit labels or scores alone. With a failure it is
            what could not be read. An extractive model that finds no answer in the text writes "".
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
        answered = self.label is not None or (self.failure is None and (self.output, self.scores) != (None, None))
        if answered == (self.failure is not None):
            raise ValueError("an answer has either a label, words or scores, or a failure")


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


@runtime_checkable
class Tells(Protocol):
    """A backend that works on many rows at a time, and says of each when it is done.

    Attributes:
        at_once: rows that it should be given at once.
        advance: called with how many more rows are done.
    """

    advance: Callable[[int], None]

    @property
    def at_once(self) -> int: ...  # noqa: D102 - see above


def in_parts(
    backend: Backend,
    total: int,
    ask: Callable[[slice], Sequence[Answer]],
    *,
    part: int,
    advance: Callable[[int], None],
) -> list[Answer]:
    """Ask for many rows a part at a time, in order.

    Args:
        backend: who is asked.
        total: rows.
        ask: asks for the rows of a slice.
        part: rows at a time, unless the backend knows better.
        advance: told how many more rows are done.
    """
    tells = isinstance(backend, Tells)
    if isinstance(backend, Tells):
        backend.advance, part = advance, backend.at_once
    answers: list[Answer] = []
    for start in range(0, total, part):
        found = ask(slice(start, start + part))
        answers += found
        if not tells:
            advance(len(found))
    return answers


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


@runtime_checkable
class Rewords(Protocol):
    """A backend that is asked by a prompt, and can be asked by another one."""

    def reword(self, prompt: BoundPrompt) -> None:
        """Put the task in these words from now on."""
        ...


class ByRow(Protocol):
    """A backend with `Capability.ROWS`: it knows the answers to rows of the data, whatever their text."""

    def classify_rows(self, rows: Sequence[int]) -> Sequence[Answer]:
        """One answer per row, in order; a row is named by its number in the data's source."""
        ...


class Writes(Protocol):
    """A backend with `Capability.WRITE`."""

    def write(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer per request, in order, each with an `output` or a failure."""
        ...


class Ranks(Protocol):
    """A backend with `Capability.RANK`."""

    def rank(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """One answer per request, in order, each with one finite score per candidate or a failure."""
        ...


class Embeds(Protocol):
    """A backend with `Capability.EMBED`."""

    def embed(self, texts: Sequence[ModelText]) -> NDArray[np.float32]:
        """One vector of length 1 per text, shape (n, d)."""
        ...


class Likelihoods(Protocol):
    """A backend with `Capability.LOGPROBS`."""

    def logprobs(self, texts: Sequence[ModelText]) -> Sequence[NDArray[np.float64]]:
        """Per text, the natural logarithm of each token's probability after those before it; the first has none."""
        ...


class Featured(Backend, Protocol):
    """A backend that shows what its last layer works on."""

    def features(self, texts: Sequence[ModelText]) -> tuple[Any, NDArray[np.float64]]:
        """Features, shape (n, d), an array or a CSR matrix, and the seconds that each text took, shape (n,)."""
        ...
