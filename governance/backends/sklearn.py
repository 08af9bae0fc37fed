"""scikit-learn pipelines, read with skops: nothing in the file is run that isn't on a list of known types."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.backends.base import Answer, Capability, WordWeight
from governance.dataset import Labels, ModelText
from governance.errors import BackendError

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256


class SklearnBackend:
    """A pipeline of a vectoriser and a linear classifier.

    Args:
        path: a `.skops` file.
        labels: the task's classes, in the order in which the pipeline was fitted.
    """

    capabilities = frozenset({Capability.CLASSIFY, Capability.SCORES, Capability.WEIGHTS})

    def __init__(self, path: Path, labels: Labels) -> None:
        self._path = path
        self._labels = labels

    @cached_property
    def _pipeline(self) -> Any:
        import skops.io

        try:
            return skops.io.load(self._path, trusted=[])
        except Exception as error:  # noqa: BLE001 - a hostile file can fail in any way; it must stop here
            raise BackendError(
                f"{self._path.name}: not a scikit-learn pipeline that is safe to load: {error}"
            ) from None

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        answers = []
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            began = time.perf_counter()
            scores = self._pipeline.predict_proba([text.text for text in batch])
            seconds = (time.perf_counter() - began) / len(batch)
            answers += [
                Answer(label=self._labels.classes[int(np.argmax(row))], scores=tuple(map(float, row)), seconds=seconds)
                for row in scores
            ]
        return answers

    def features(self, texts: Sequence[ModelText]) -> tuple[Any, NDArray[np.float64]]:
        """See `Featured`: what the vectoriser makes of the texts."""
        began = time.perf_counter()
        found = self._pipeline[0].transform([text.text for text in texts])
        return found, np.full(len(texts), (time.perf_counter() - began) / max(1, len(texts)))

    def weights(self, per_class: int) -> Sequence[WordWeight]:
        """See `Explains`. With two classes, one row of coefficients serves both, with opposite signs."""
        words = self._pipeline[0].get_feature_names_out()
        coefficients = self._pipeline[-1].coef_
        if len(coefficients) == 1:
            coefficients = np.concatenate([-coefficients, coefficients])
        found = []
        for label, row in zip(self._labels.classes, coefficients, strict=True):
            heaviest = np.argsort(-row, kind="stable")[:per_class]
            found += [WordWeight(_spoken(str(words[i])), label, float(row[i])) for i in heaviest if row[i] > 0]
        return found

    def close(self) -> None:
        """See `Backend`."""
        self.__dict__.pop("_pipeline", None)


def _spoken(feature: str) -> str:
    """A run of characters as people write it.

    >>> _spoken("质 量 好"), _spoken("not good")
    ('质量好', 'not good')
    """
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", feature)
