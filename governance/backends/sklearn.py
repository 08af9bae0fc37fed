"""scikit-learn pipelines, read with skops: nothing in the file is run that isn't on a list of known types."""

from __future__ import annotations

import re
import time
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from governance.backends.base import Answer, Capability, WordWeight
from governance.backends.callable import type_name
from governance.dataset import Labels, ModelText
from governance.errors import BackendError, ConfigError
from governance.sources import label_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 256


class PipelineBackend:
    """Any pipeline from texts to classes, whose classes are the task's by name. Without probabilities it gives labels.

    Args:
        path: a `.skops` file.
        labels: the task's classes.
        trusted: types beyond skops' own list that may be made. Making one may run its module's code.
    """

    def __init__(self, path: Path, labels: Labels, *, trusted: Sequence[str] = ()) -> None:
        self._path = path
        self._labels = labels
        self._trusted = trusted

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        scores = hasattr(self._pipeline, "predict_proba")
        return frozenset({Capability.CLASSIFY, *((Capability.SCORES,) if scores else ())})

    @cached_property
    def _pipeline(self) -> Any:
        import skops.io

        try:
            return skops.io.load(self._path, trusted=list(self._trusted))
        except Exception as error:  # noqa: BLE001 - a hostile file can fail in any way; it must stop here
            raise BackendError(
                f"{self._path.name}: not a scikit-learn pipeline that is safe to load: {error}"
            ) from None

    @cached_property
    def _order(self) -> Sequence[int]:
        """For each of the task's classes, the column of its probability.

        Raises:
            BackendError: the pipeline's classes are others.
        """
        named = [label_of(value) for value in np.asarray(getattr(self._pipeline, "classes_", [])).tolist()]
        if sorted(map(str, named)) != sorted(self._labels.classes):
            raise BackendError(
                f"{self._path.name}: expected a classifier of {', '.join(self._labels.classes)}, "
                f"found {', '.join(map(str, named)) or 'no classes_'}"
            )
        return [named.index(label) for label in self._labels.classes]

    def classify(self, texts: Sequence[ModelText]) -> Sequence[Answer]:
        """See `Backend`."""
        given = [text.text for text in texts]
        return [answer for start in range(0, len(texts), BATCH) for answer in self._batch(given[start : start + BATCH])]

    def _batch(self, texts: list[str]) -> list[Answer]:
        pipeline, order, n = self._pipeline, self._order, len(texts)
        began = time.perf_counter()
        try:
            if hasattr(pipeline, "predict_proba"):
                rows = np.asarray(pipeline.predict_proba(texts), dtype=float)[:, order].tolist()
            else:
                rows = [label_of(value) for value in np.asarray(pipeline.predict(texts)).tolist()]
        except Exception as error:  # noqa: BLE001 - somebody else's steps may raise anything
            if n > 1:
                return [answer for text in texts for answer in self._batch([text])]
            return [Answer(failure=f"the pipeline raised {type_name(error)}", seconds=time.perf_counter() - began)]
        seconds = (time.perf_counter() - began) / n
        return [self._answer(row, seconds) for row in rows]

    def _answer(self, row: Sequence[float] | str | None, seconds: float) -> Answer:
        classes = self._labels.classes
        if row is None or isinstance(row, str):
            known = row in classes
            failure = None if known else "the pipeline's answer is none of the classes"
            return Answer(label=row if known else None, failure=failure, seconds=seconds)
        if not np.isfinite(row).all():
            return Answer(failure="the pipeline's probabilities are not finite", seconds=seconds)
        return Answer(label=classes[int(np.argmax(row))], scores=tuple(row), seconds=seconds)

    def close(self) -> None:
        """See `Backend`."""
        for name in ("_pipeline", "_order"):
            self.__dict__.pop(name, None)


class SklearnBackend(PipelineBackend):
    """A pipeline of a vectoriser and a linear classifier that Steelyard fitted, on the classes' numbers.

    Args:
        path: a `.skops` file.
        labels: the task's classes, in the order in which the pipeline was fitted.
    """

    def __init__(self, path: Path, labels: Labels) -> None:
        super().__init__(path, labels)
        self._order = range(len(labels.classes))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Backend`."""
        return frozenset({Capability.CLASSIFY, Capability.SCORES, Capability.WEIGHTS})

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


def check_file(path: Path, trusted: Sequence[str] = ()) -> None:
    """Whether a pipeline's file may be loaded; nothing in it is made.

    Raises:
        ConfigError: it is no skops file, or holds a type that is neither on skops' list nor trusted.
    """
    import skops.io

    if not zipfile.is_zipfile(path):
        raise ConfigError(
            f"{path.name}: not a skops file; a pickle or joblib file may run anything and is never loaded: save the "
            "pipeline with skops.io.dump"
        )
    try:
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(trusted))
    except Exception as error:  # noqa: BLE001 - a hostile file can fail in any way; it must stop here
        raise ConfigError(f"{path.name}: not a skops file that can be read: {type_name(error)}") from None
    if unknown:
        raise ConfigError(
            f"{path.name}: not a scikit-learn pipeline that is safe to load: it holds {', '.join(unknown)[:500]}. Only "
            "if you know that code and trust this file, name them in `trusted`: making one may run its code"
        )


def _spoken(feature: str) -> str:
    """A run of characters as people write it.

    >>> _spoken("质 量 好"), _spoken("not good")
    ('质量好', 'not good')
    """
    return re.sub(r"(?<=[\u3400-\u9fff]) (?=[\u3400-\u9fff])", "", feature)
