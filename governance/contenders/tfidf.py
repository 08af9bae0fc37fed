"""The interpretable system, trained by this audit."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from typing_extensions import override

from governance.backends.base import Backend
from governance.config import TfidfModel
from governance.contenders.base import Contender, Ring
from governance.record import ModelEntry
from governance.store import code_digest, versions


class Tfidf(Contender):
    """TF-IDF + logistic regression."""

    def __init__(self, name: str, config: TfidfModel, ring: Ring) -> None:
        super().__init__(name, ring)
        self.config = config

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
    def _directory(self) -> Path:
        return self.ring.store.path("tfidf", self._inputs)

    @override
    def prepare(self) -> None:
        from governance.training import tfidf

        if self._directory.exists():
            return
        with self.ring.progress.stage(f"train {self.name}"), self.ring.store.building(self._directory) as directory:
            tfidf.train(
                self.ring.train,
                self.ring.labels,
                directory,
                max_features=self.config.max_features,
                regularisation=self.config.regularisation,
                language=self.ring.language,
                seed=self.ring.seed,
            )

    @override
    def identity(self) -> Mapping[str, object]:
        return self._inputs

    @override
    def open(self) -> Backend:
        from governance.backends.sklearn import SklearnBackend
        from governance.training.tfidf import WEIGHTS

        return SklearnBackend(self._directory / WEIGHTS, self.ring.labels)

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        from governance.training.tfidf import DIGEST

        return ModelEntry(
            name=self.name,
            kind=self.config.kind,
            title=self.config.title or "TF-IDF + logistic regression",
            source="trained from scratch by this audit (scikit-learn)",
            licence=self.config.licence,
            note=self.config.note,
            trained=True,
            trained_on=len(self.ring.train),
            trained_parts="all of it",
            weighed_on=weighed_on,
            settings=self.config.model_dump(include={"max_features", "regularisation"}),
            digest=(self._directory / DIGEST).read_text(encoding="ascii"),
            capabilities=tuple(facts["capabilities"]),
        )
