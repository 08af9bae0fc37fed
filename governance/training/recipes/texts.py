"""Classifiers of texts built from nothing: token numbers in, logits out; what the LSTM and the transformer share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from governance.dataset import ModelText, ScrubbedTable
from governance.training.recipes import classes, vocabulary
from governance.training.recipes.base import Column, Fitted, Setting
from governance.training.recipes.vocabulary import PADDING


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """Settings of a text classifier.

    Attributes:
        classes: in the order of probabilities; may be left to the rows in an open run.
        class_weights: class -> factor of its rows' losses; 1 where absent.
        vocabulary: "hashed", "counted" (open runs), or the path of a `tokenizer.json`.
        buckets: of hashed tokens, or the most counted words.
        max_tokens: longer texts are cut off.
        width: of a token's vector.
        dropout: of activations.
    """

    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, float] = field(default_factory=dict)
    vocabulary: str = "hashed"
    buckets: int = 8192
    max_tokens: int = 64
    width: int = 64
    dropout: float = 0.1

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, Column]] = {"text": Column("text"), "label": Column("label")}
    needs_base: ClassVar[bool] = False

    def shape(self) -> Mapping[str, int | float]:
        """What `build` needs besides the numbers of tokens and classes."""
        raise NotImplementedError

    def build(self, shape: Mapping[str, Any], *, private: bool) -> nn.Module:
        """A model with fresh weights, from what is kept of its shape."""
        raise NotImplementedError

    def task(
        self,
        table: ScrubbedTable,
        directory: Path,  # noqa: ARG002 - other recipes keep caches there
        setting: Setting,
        *,
        unlabelled: str | None = None,
    ) -> TextTask:
        """Model and rows; a row labelled `unlabelled` has class -1."""
        private, texts, labels = setting.plan is not None, table.texts["text"], table.labels["label"]
        known = [label for label in labels if label != unlabelled]
        names = vocabulary.declared(self.classes, known, private=private, where=f"{self.name}.classes")
        codes = vocabulary.codes(names, labels, where=f"{self.name}.classes", besides=unlabelled)
        words = vocabulary.make(self.vocabulary, self.buckets, texts, private=private, recipe=self.name)
        shape = {**self.shape(), "tokens": words.size, "classes": len(names), "max_tokens": self.max_tokens}
        torch.manual_seed(setting.settings.seed)
        model = self.build(shape, private=private)
        told = {"recipe": self.name, "classes": names, "shape": shape, "vocabulary": words.told()}
        weights = classes.weights_of(names, self.class_weights, recipe=self.name)
        return TextTask(model, vocabulary.padded(words, texts, self.max_tokens), codes, weights, told)

    def fit(self, table: ScrubbedTable, directory: Path, setting: Setting) -> Fitted:
        """Train on scrubbed rows, private if the setting has a plan.

        Raises:
            ConfigError: a setting that a private run can't have.
            DataError: a row of a class that is not listed.
        """
        return classes.fit(self, table, directory, setting)


class TextTask(classes.ClassTask):
    """Padded token numbers and classes.

    Args:
        model: token numbers (b, t), padded with zeros, to logits.
        numbers: shape (n, longest).
        codes: shape (n,).
        class_weights: shape (classes,).
        told: kept beside the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        numbers: NDArray[np.int64],
        codes: NDArray[np.int64],
        class_weights: torch.Tensor,
        told: Mapping[str, Any],
    ) -> None:
        self._numbers = torch.from_numpy(numbers)
        super().__init__(model, lambda rows: trimmed(self._numbers[rows]), codes, class_weights, told)

    def beside(self, table: ScrubbedTable, directory: Path, setting: Setting) -> TextTask:  # noqa: ARG002 - as others
        """Other rows through the same model."""
        words, longest = vocabulary.read(self.told["vocabulary"]), self.told["shape"]["max_tokens"]
        codes = vocabulary.codes(self.told["classes"], table.labels["label"], where=f"{self.told['recipe']}.classes")
        numbers = vocabulary.padded(words, table.texts["text"], longest)
        return TextTask(self.model, numbers, codes, self.class_weights, self.told)


def trimmed(numbers: torch.Tensor) -> torch.Tensor:
    """Without the columns that are padding in all rows; (b, t) to (b, t' <= t)."""
    return numbers[:, : int((numbers != PADDING).sum(1).max())]


def mean_over_own(states: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Mean over each row's own positions: (b, t, width) and (b, t) to (b, width)."""
    own = (numbers != PADDING).unsqueeze(-1).to(states.dtype)
    return (states * own).sum(1) / own.sum(1)


class Builder(Protocol):
    """A recipe whose saved models are read."""

    name: ClassVar[str]

    def build(self, shape: Mapping[str, Any], *, private: bool) -> nn.Module:
        """A model of that shape."""


class TextClassifier:
    """A trained classifier of texts.

    Attributes:
        classes: in the order of probabilities.
    """

    def __init__(self, directory: Path, recipe: Builder) -> None:
        self._model, told = classes.read(
            directory, recipe.name, lambda told: recipe.build(told["shape"], private=False)
        )
        self.classes: tuple[str, ...] = tuple(told["classes"])
        self._vocabulary, self._longest = vocabulary.read(told["vocabulary"]), int(told["shape"]["max_tokens"])

    @torch.no_grad()
    def predict(self, texts: Sequence[ModelText], batch: int = 64) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes)."""
        numbers = torch.from_numpy(vocabulary.padded(self._vocabulary, texts, self._longest))
        parts = [self._model(trimmed(part)).softmax(1) for part in numbers.split(batch) if len(part)]
        return torch.cat([torch.zeros(0, len(self.classes)), *parts]).double().numpy()
