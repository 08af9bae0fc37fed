"""What every model of a config is given, and what it must do to be weighed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from governance.backends.asking import Gate
from governance.backends.base import Backend, Featured
from governance.backends.predictions import Given
from governance.backends.prompts import BoundPrompt
from governance.backends.taskprompts import BoundTaskPrompt
from governance.claims import PrivacyClaim
from governance.dataset import Labels, ModelText, ScrubbedDataset
from governance.files import digest_of
from governance.modelconfig import ModelConfig
from governance.privacy.filling import fill, fill_rows
from governance.progress import Progress
from governance.record import ModelEntry, Twin
from governance.store import Store
from governance.vendorfacts import VendorFacts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from governance.budget.account import Account
    from governance.training.dp.plan import Plan


@dataclass(frozen=True)
class Ring:
    """What every contender is given.

    Attributes:
        store: where stages are kept.
        train: scrubbed training rows.
        rows_digest: identity of the scrubbed data and its split.
        labels: the task's classes.
        language: of the data.
        seed: of everything random that may be seeded.
        base: model name -> folder or file of pretrained weights, of predictions or of code, and its digest.
        prompts: model name -> its prompt, fitted to the task.
        gate: scrubs prompts and answers.
        scrub: fingerprint of the policy behind the gate.
        progress: where to say what is being done.
        account: opens a private run in the data set's budget book: the run's name, its folder, its plan.
        given: model name -> what a file says that it answered.
        vendors: model name -> what its vendor's file says.
        wordings: model name -> other prompts that it is asked by.
        filled: whether made-up values stand where the scrubber left placeholders.
    """

    store: Store
    train: ScrubbedDataset
    rows_digest: str
    labels: Labels
    language: str
    seed: int
    base: Mapping[str, tuple[Path, str]]
    prompts: Mapping[str, BoundPrompt | BoundTaskPrompt]
    gate: Gate
    scrub: str
    progress: Progress
    account: Callable[[str, Path, Plan], Account]
    given: Mapping[str, Given] = field(default_factory=dict)
    vendors: Mapping[str, VendorFacts] = field(default_factory=dict)
    wordings: Mapping[str, tuple[BoundPrompt, ...]] = field(default_factory=dict)
    filled: bool = False

    def with_filled(self) -> Ring:
        """The same with made-up values in place of placeholders, in training rows and in what is asked."""
        rows = fill_rows(self.train, seed=self.seed)
        return replace(self, train=rows, rows_digest=training_digest(rows), filled=True)


class Contender(ABC):
    """A model of the config. `open` may take minutes the first time; `entry` is asked after it was weighed.

    Attributes:
        trained: whether this audit trains it.
        of: the model that it is a fairer version of.
        mitigates: the group column between whose values it is meant to be fairer.
        decides_by: the group column whose value its decision needs beside the text; then its backend is a
            `DecidesByGroup`.
    """

    trained = True
    of: str | None = None
    mitigates: str | None = None
    decides_by: str | None = None

    def __init__(self, name: str, ring: Ring) -> None:
        self.name = name
        self.ring = ring

    def shown(self, texts: Sequence[ModelText]) -> Sequence[ModelText]:
        """Texts as it reads them."""
        return [fill(text, seed=self.ring.seed) for text in texts] if self.ring.filled else texts

    @property
    def wordings(self) -> tuple[BoundPrompt, ...]:
        """Prompts that it is asked by beside its own; then its backend `Rewords`."""
        return self.ring.wordings.get(self.name, ())

    @property
    def protocol(self) -> str:
        """How its answers are got: one of `governance.record.PROTOCOLS`."""
        return "head"

    @property
    def claim(self) -> PrivacyClaim | None:
        """Its privacy claim, if it was trained privately; asked after training."""
        return None

    @abstractmethod
    def prepare(self) -> None:
        """Train it, if this audit trains it and hasn't yet."""

    @abstractmethod
    def identity(self) -> Mapping[str, object]:
        """What its answers depend on, besides the texts."""

    @abstractmethod
    def open(self) -> Backend:
        """A backend that answers; the caller closes it."""

    @abstractmethod
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        """Its entry in the record.

        Args:
            weighed_on: held-out rows that it was asked.
            facts: what `facts_of` said when it was asked.
        """

    def _told(self, config: ModelConfig, weighed_on: int, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of an entry that every kind of model fills alike."""
        return {
            "name": self.name,
            "kind": config.kind,
            "weighed_on": weighed_on,
            "capabilities": tuple(facts["capabilities"]),
            "protocol": self.protocol,
            "versions": facts.get("versions") or {},
            "vendor_facts": self.ring.vendors.get(self.name),
            "twin": config.twin and Twin(**config.twin.model_dump()),
            "placeholders": "filled" if self.ring.filled else None,
        }


class Trainable(Contender):
    """A contender that this audit trains, and can train again with other row weights or build upon.

    Attributes:
        licence: as the config states it.
        regularisation: scikit-learn's C for linear models on its features.
    """

    licence: str | None = None
    regularisation: float = 1.0

    @property
    @abstractmethod
    def directory(self) -> Path:
        """Where its training leaves what `open_at` needs."""

    @override
    def prepare(self) -> None:
        if not self.directory.exists():
            with self.ring.store.building(self.directory) as working:
                self.train(working, self.name)

    @override
    def open(self) -> Backend:
        return self.open_at(self.directory)

    @abstractmethod
    def train(self, directory: Path, called: str, row_weights: NDArray[np.float64] | None = None) -> None:
        """Train by its recipe; leaves all that `open_at` needs in `directory`.

        Args:
            directory: where; may hold what an interrupted attempt left.
            called: what to say is being trained.
            row_weights: how much each training row counts, shape (n,); None: all alike.
        """

    @abstractmethod
    def open_at(self, directory: Path) -> Featured:
        """A backend on what `train` left."""

    @abstractmethod
    def size(self) -> int:
        """Bytes of the weights that it computes with; asked after training."""

    @abstractmethod
    def described(self, directory: Path) -> Mapping[str, Any]:
        """Fields of a record's entry that depend on what `train` left."""

    @abstractmethod
    def costs(self, positive: NDArray[np.bool_]) -> tuple[float, float]:
        """What a false positive and a false negative cost its recipe, by how it weighs the classes."""


def training_digest(rows: ScrubbedDataset) -> str:
    """Identity of what models are trained on: texts and labels. A new group column trains nothing again."""
    return digest_of([[text.text, label] for text, label in zip(rows.texts, rows.labels, strict=True)])


def facts_of(backend: Backend) -> dict[str, Any]:
    """What only a backend that has just answered knows; kept beside its answers."""
    return {
        "capabilities": sorted(backend.capabilities),
        "sent": dict(getattr(backend, "sent", {})),
        "reported_model": getattr(backend, "reported_model", None),
        "versions": dict(getattr(backend, "versions", {})),
        "spent": getattr(backend, "spent", None),
        "unscored": getattr(backend, "unscored", None),
        "fell_back": getattr(backend, "fell_back", None),
    }


def public_name(source: str) -> str:
    """A model's or a file's source as a record may show it: no folder of this machine."""
    path = Path(source)
    return path.name if path.is_absolute() or ".." in path.parts else source
