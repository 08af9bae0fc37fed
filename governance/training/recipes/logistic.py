"""Logistic regression on a table's columns, hashed words or a frozen encoder's outputs, by gradient steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from governance.dataset import ScrubbedTable
from governance.training.recipes import classes, vocabulary
from governance.training.recipes.base import Fitted, Setting
from governance.training.recipes.features import TARGET, Inputs, Reader, TableSettings, reader

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CACHE = "embeddings"


@dataclass(frozen=True, kw_only=True)
class Logistic(TableSettings):
    """Logistic regression; with more than two classes, multinomial.

    Attributes:
        classes: in the order of probabilities; may be left to the rows in an open run.
        class_weights: class -> factor of its rows' losses; 1 where absent.
    """

    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, float] = field(default_factory=dict)

    name: ClassVar[str] = "logistic"

    def shape(self) -> Mapping[str, Any]:
        """What `build` needs besides the numbers of inputs and classes."""
        return {}

    def build(self, shape: Mapping[str, Any]) -> nn.Module:
        """A model with fresh weights: (b, inputs) to logits (b, classes)."""
        made = nn.Linear(shape["inputs"], shape["classes"])
        nn.init.zeros_(made.weight)
        nn.init.zeros_(made.bias)
        made.starts_new = ()  # type: ignore[assignment]  # everything does: one learning rate
        return made

    def task(
        self, table: ScrubbedTable, directory: Path, setting: Setting, *, unlabelled: str | None = None
    ) -> VectorTask:
        """Model and rows; a row labelled `unlabelled` has class -1."""
        private, labels = setting.plan is not None, table.labels[TARGET]
        known = [label for label in labels if label != unlabelled]
        names = vocabulary.declared(self.classes, known, private=private, where=f"{self.name}.classes")
        codes = vocabulary.codes(names, labels, where=f"{self.name}.classes", besides=unlabelled)
        read = reader(self, table, base=setting.base, private=private, language=setting.language)
        vectors = read.vectors(Inputs.of(table), base=setting.base, cache=directory / CACHE)
        torch.manual_seed(setting.settings.seed)
        shape = {**self.shape(), "inputs": read.width, "classes": len(names)}
        told = {"recipe": self.name, "classes": names, "shape": shape, "reader": read.told()}
        weights = classes.weights_of(names, self.class_weights, recipe=self.name)
        return VectorTask(self.build(shape), vectors, codes, weights, told)

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Train on scrubbed rows, private if the setting has a plan.

        Raises:
            ConfigError: a setting that a private run can't have.
            DataError: a row of a class that is not listed.
        """
        return classes.fit(self, table, directory, setting)

    @staticmethod
    def load(directory: Path, base: Path | None = None) -> VectorClassifier:
        """The model that `fit` left in a folder, with the base it reads texts through. Raises `BackendError`."""
        return VectorClassifier(directory, Logistic(), base)


class VectorTask(classes.ClassTask):
    """Vectors and classes.

    Args:
        model: (b, inputs) to logits.
        vectors: shape (n, inputs), sparse: written out for the rows of a step only.
        codes: shape (n,).
        class_weights: shape (classes,).
        told: kept beside the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        vectors: csr_matrix,
        codes: NDArray[np.int64],
        class_weights: torch.Tensor,
        told: Mapping[str, Any],
    ) -> None:
        super().__init__(model, lambda rows: dense(vectors, rows), codes, class_weights, told)

    def beside(self, table: ScrubbedTable, directory: Path, setting: Setting) -> VectorTask:
        """Other rows through the same model."""
        codes = vocabulary.codes(self.told["classes"], table.labels[TARGET], where=f"{self.told['recipe']}.classes")
        vectors = Reader(**self.told["reader"]).vectors(Inputs.of(table), base=setting.base, cache=directory / CACHE)
        return VectorTask(self.model, vectors, codes, self.class_weights, self.told)


def dense(vectors: csr_matrix, rows: torch.Tensor) -> torch.Tensor:
    """Some rows written out, float32, shape (len(rows), width)."""
    return torch.from_numpy(vectors[rows.numpy()].toarray())


class VectorClassifier:
    """A trained classifier of vectors.

    Attributes:
        classes: in the order of probabilities.
    """

    def __init__(self, directory: Path, recipe: Logistic, base: Path | None) -> None:
        self._model, told = classes.read(directory, recipe.name, lambda told: recipe.build(told["shape"]))
        self.classes: tuple[str, ...] = tuple(told["classes"])
        self._reader, self._base, self._cache = Reader(**told["reader"]), base, directory / CACHE

    @torch.no_grad()
    def predict(self, inputs: Inputs, batch: int = 256) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes)."""
        vectors = self._reader.vectors(inputs, base=self._base, cache=self._cache)
        rows = torch.arange(len(inputs)).split(batch)
        parts = [self._model(dense(vectors, part)).softmax(1) for part in rows if len(part)]
        return torch.cat([torch.zeros(0, len(self.classes)), *parts]).double().numpy()
