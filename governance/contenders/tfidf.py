"""The interpretable system, trained by this audit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from governance.backends.base import Featured
from governance.contenders.base import Ring, Trainable
from governance.modelconfig import TfidfModel
from governance.record import ModelEntry
from governance.store import code_digest, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tfidf(Trainable):
    """TF-IDF + logistic regression."""

    def __init__(self, name: str, config: TfidfModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config
        self.licence = config.licence
        self.regularisation = config.regularisation

    @cached_property
    def _inputs(self) -> Mapping[str, object]:
        return {
            "rows": self.ring.rows_digest,
            "max_features": self.config.max_features,
            "regularisation": self.config.regularisation,
            "seed": self.ring.seed,
            "language": self.ring.language,
            "code": code_digest("governance.training.tfidf", "governance.backends.sklearn"),
            "versions": dict(versions("scikit-learn", "skops", "numpy", "scipy")),
        }

    @property
    @override
    def directory(self) -> Path:
        return self.ring.store.path("tfidf", self._inputs)

    @override
    def train(self, directory: Path, called: str, row_weights: NDArray[np.float64] | None = None) -> None:
        from governance.training import tfidf

        with self.ring.progress.stage(f"train {called}"):
            tfidf.train(
                self.ring.train,
                self.ring.labels,
                directory,
                max_features=self.config.max_features,
                regularisation=self.config.regularisation,
                language=self.ring.language,
                seed=self.ring.seed,
                row_weights=row_weights,
            )

    @override
    def identity(self) -> Mapping[str, object]:
        return self._inputs

    @override
    def open_at(self, directory: Path) -> Featured:
        from governance.backends.sklearn import SklearnBackend
        from governance.training.tfidf import WEIGHTS

        return SklearnBackend(directory / WEIGHTS, self.ring.labels)

    @override
    def costs(self, positive: NDArray[np.bool_]) -> tuple[float, float]:
        n, hits = len(positive), int(positive.sum())  # as class_weight="balanced" has it
        return n / (2 * (n - hits)), n / (2 * hits)

    @override
    def size(self) -> int:
        from governance.training.tfidf import WEIGHTS

        return (self.directory / WEIGHTS).stat().st_size

    @override
    def described(self, directory: Path) -> Mapping[str, Any]:
        from governance.training.tfidf import DIGEST

        return {"trained_parts": "all of it", "digest": (directory / DIGEST).read_text(encoding="ascii")}

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        return ModelEntry(
            **self._told(self.config, weighed_on, facts),
            title=self.config.title or "TF-IDF + logistic regression",
            source="trained from scratch by this audit (scikit-learn)",
            licence=self.config.licence,
            note=self.config.note,
            trained=True,
            trained_on=len(self.ring.train),
            settings=self.config.model_dump(include={"max_features", "regularisation"}),
            **self.described(self.directory),
        )
