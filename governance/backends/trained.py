"""Classifiers that Steelyard trained: a frozen lower encoder, whose outputs are cached, and a trained upper part."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.backends.base import Answer, Capability
from governance.dataset import Labels, ModelText

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from governance.training.classifier import Features
    from governance.training.model import Classifier


class ClassifierBackend:
    """Scores texts with a trained classifier.

    A row's time is its share of its batch in the lower layers (taken when they were computed)
    plus its share in the upper ones, so a cached row is not reported as a fast one.

    Args:
        directory: what `training.classifier.train` left.
        features: what its head sees of a text.
        labels: the task's classes.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES})

    def __init__(self, directory: Path, features: Features, labels: Labels) -> None:
        self._directory = directory
        self._features = features
        self._labels = labels

    @cached_property
    def _model(self) -> Classifier:
        from governance.training.model import load

        return load(self._directory, self._features.lower.cut)

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        from governance.training.classifier import probabilities

        if not texts:
            return []
        model = self._model
        hidden = self._features.lower.outputs(texts)
        began = time.perf_counter()
        scores = probabilities(model, self._features, texts)
        upper = (time.perf_counter() - began) / len(texts)
        seconds = np.asarray(hidden.seconds[hidden.positions], dtype=float) + upper
        classes = self._labels.classes
        return [
            Answer(label=classes[int(np.argmax(row))], scores=tuple(map(float, row)), seconds=float(spent))
            for row, spent in zip(scores, seconds, strict=True)
        ]

    def features(self, texts: Sequence[ModelText]) -> tuple[Any, NDArray[np.float64]]:
        """See `Featured`: the lower layers' states, averaged over each text's tokens. Trained layers have no part."""
        hidden = self._features.lower.outputs(texts)
        began = time.perf_counter()
        found = hidden.pooled().numpy()
        pooling = (time.perf_counter() - began) / max(1, len(texts))
        return found, np.asarray(hidden.seconds[hidden.positions], dtype=float) + pooling

    def close(self) -> None:
        """See `Backend`."""
        self.__dict__.pop("_model", None)
