"""Classes of texts by a pretrained encoder with a classification head."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from governance.dataset import ModelText, ScrubbedTable
from governance.training.recipes import classes, vocabulary
from governance.training.recipes.base import Column, Setting
from governance.training.recipes.pretrained import BATCH, TextTask, Tuning, named_classes, trained
from governance.training.recipes.tokens import Rows, encoded, filler, inputs, labels_in, texts_in

NAME = "encoder-classifier"


@dataclass(frozen=True, kw_only=True)
class EncoderClassifier(Tuning):
    """A Hugging Face encoder and a head.

    Attributes:
        max_tokens: longer texts are cut off.
        classes: in the order of the probabilities. [default: the rows' labels, sorted; a private run must be told]
        class_weights: of each row's loss by its class, 1 where nothing is said: public constants.
    """

    max_tokens: int = 128
    classes: tuple[str, ...] = ()
    class_weights: Mapping[str, float] = field(default_factory=dict)

    columns: ClassVar[Mapping[str, Column]] = {"text": Column("text"), "label": Column("label")}

    def completed(self, table: ScrubbedTable, setting: Setting) -> EncoderClassifier:
        """With the classes."""
        found, private = labels_in(table, "label"), setting.plan is not None
        names = vocabulary.declared(self.classes, found, private=private, where=f"{NAME}.classes")
        return dataclasses.replace(self, classes=names)

    def tasks(self, setting: Setting) -> Callable[[ScrubbedTable], TextTask]:
        """See `Tuning`."""
        from transformers import AutoModelForSequenceClassification

        model, tokenizer = self.opened(AutoModelForSequenceClassification, setting, **named_classes(self.classes))
        return lambda table: _Task(model, tokenizer, self, table)

    @staticmethod
    def load(directory: Path) -> TrainedClassifier:
        """The classifier that `fit` left in a folder."""
        return TrainedClassifier(directory)


class _Task(TextTask):
    def __init__(self, model: Any, tokenizer: Any, recipe: EncoderClassifier, table: ScrubbedTable) -> None:
        super().__init__(model, tokenizer, _rows(tokenizer, model, texts_in(table.texts, "text"), recipe.max_tokens))
        self._codes = torch.from_numpy(
            vocabulary.codes(recipe.classes, labels_in(table, "label"), where=f"{NAME}.classes")
        )
        self._weights = classes.weights_of(recipe.classes, recipe.class_weights, recipe=NAME)

    def losses(self, rows: torch.Tensor) -> torch.Tensor:
        logits = self.model(**self.data.batch(rows)).logits.float()
        codes = self._codes[rows]
        return functional.cross_entropy(logits, codes, reduction="none") * self._weights[codes]


class TrainedClassifier:
    """Probabilities of classes."""

    def __init__(self, directory: Path) -> None:
        from transformers import AutoModelForSequenceClassification

        recipe = EncoderClassifier.recall(directory)
        self.classes = recipe.classes
        self._max_tokens = recipe.max_tokens
        self._model, self._tokenizer = trained(AutoModelForSequenceClassification, directory)

    @torch.inference_mode()
    def predict(self, texts: Sequence[ModelText]) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes)."""
        rows = _rows(self._tokenizer, self._model, texts, self._max_tokens)
        found = [self._model(**batch).logits.double().softmax(1).numpy() for batch in rows.batches(BATCH)]
        return np.concatenate([np.zeros((0, len(self.classes))), *found])


def _rows(tokenizer: Any, model: Any, texts: Sequence[ModelText], max_tokens: int) -> Rows:
    batch = encoded(tokenizer, model, [text.text for text in texts], max_tokens=max_tokens)
    return Rows(inputs(tokenizer, model, batch), filler(tokenizer))
