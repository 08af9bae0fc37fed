"""Smaller models made from one that this audit trains: the same in 8-bit integers, or a student of it."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from governance.backends.base import Backend, in_parts
from governance.claims import PrivacyClaim
from governance.contenders.base import Contender, Trainable
from governance.contenders.classifier import Classifier
from governance.errors import BackendError
from governance.files import write_atomic
from governance.modelconfig import VariantModel
from governance.record import ModelEntry
from governance.store import code_digest, versions

SIZE = "size.json"
BATCH = 64
_COVERED = "made from the weights of {of} alone, so its privacy claim covers this model too"
_UNCOVERED = "learnt from the private rows again, by the labels of {of}: the privacy claim of {of} does not cover it"


class Variant(Contender):
    """A smaller model made from another one. It reads what that one reads."""

    def __init__(self, name: str, config: VariantModel, base: Trainable) -> None:
        super().__init__(name, base.ring)
        self.config = config
        self.base = base

    @property
    @abstractmethod
    def _inputs(self) -> Mapping[str, object]:
        """What it is made from and how; asked once the original is trained."""

    @property
    def directory(self) -> Path:
        """Where what is kept of it lies."""
        return self.ring.store.path("variant", self._inputs)

    @override
    def prepare(self) -> None:
        self.base.prepare()
        if not self.directory.exists():
            with self.ring.store.building(self.directory) as working:
                made = self._make(working)
                write_atomic(working / SIZE, json.dumps({**made, "bytes_original": self.base.size()}).encode())

    @abstractmethod
    def _make(self, directory: Path) -> dict[str, object]:
        """Make it; its `bytes` and `digest`."""

    @override
    def identity(self) -> Mapping[str, object]:
        return {"variant": self.config.by, **self._inputs}

    @property
    def _about_privacy(self) -> str | None:
        """What the original's privacy claim means for it, if there is one."""
        return None

    @override
    def entry(self, weighed_on: int, facts: Mapping[str, Any]) -> ModelEntry:
        config, made = self.config, json.loads((self.directory / SIZE).read_bytes())
        student = {} if config.by == "int8" else config.model_dump(include={"max_features", "regularisation"})
        title = (
            f"{config.of} in 8-bit integers"
            if config.by == "int8"
            else f"TF-IDF + logistic regression, taught by {config.of}"
        )
        return ModelEntry(
            **self._told(config, weighed_on, facts),
            title=config.title or title,
            source=f"made by this audit from {config.of}",
            licence=config.licence or self.base.licence,
            note="; ".join(filter(None, (config.note, self._about_privacy))) or None,
            trained=True,
            trained_on=len(self.ring.train) if self.claim is None else self.claim.n,
            settings={"by": config.by, **student, "bytes": made["bytes"], "bytes_original": made["bytes_original"]},
            digest=made["digest"],
            claim=self.claim,
        )


class Int8(Variant):
    """The encoder and the head of a classifier with linear layers in 8-bit integers."""

    base: Classifier

    @cached_property
    @override
    def _inputs(self) -> Mapping[str, object]:
        code = code_digest("governance.backends.int8", "governance.contenders.variant")
        return {"base": self.base.identity(), "code": code, "versions": dict(versions("torch", "transformers"))}

    @override
    def _make(self, directory: Path) -> dict[str, object]:
        from governance.backends.int8 import digest_tensors, size_of

        with self.ring.progress.stage(f"quantise {self.base.name} for {self.name}"):
            weights = self.base.in_int8().weights()
        return {"bytes": size_of(weights), "digest": digest_tensors(weights)}

    @override
    def open(self) -> Backend:
        return self.base.in_int8()

    @property
    @override
    def claim(self) -> PrivacyClaim | None:
        return self.base.claim  # post-processing: no row is looked at again

    @property
    @override
    def _about_privacy(self) -> str | None:
        return _COVERED.format(of=self.base.name) if self.base.claim else None


class Distilled(Variant):
    """TF-IDF + logistic regression that learnt the original's probabilities for the training rows."""

    @cached_property
    @override
    def _inputs(self) -> Mapping[str, object]:
        return {
            "base": self.base.identity(),
            "rows": self.ring.rows_digest,
            "student": self.config.model_dump(include={"max_features", "regularisation"}),
            "seed": self.ring.seed,
            "language": self.ring.language,
            "code": code_digest("governance.training.tfidf", "governance.contenders.variant"),
            "versions": dict(versions("scikit-learn", "skops", "numpy", "scipy")),
        }

    @override
    def _make(self, directory: Path) -> dict[str, object]:
        from governance.training import tfidf

        ring, texts, teacher = self.ring, self.ring.train.texts, self.base.open()
        try:
            with ring.progress.stage(f"ask {self.base.name} for {self.name}", len(texts)):
                answers = in_parts(
                    teacher,
                    len(texts),
                    lambda part: teacher.classify(texts[part]),
                    part=BATCH,
                    advance=ring.progress.advance,
                )
        finally:
            teacher.close()
        if any(answer.scores is None for answer in answers):
            raise BackendError(
                f"models.{self.name}.of: expected a score per class from '{self.base.name}' on every row"
            )
        with ring.progress.stage(f"train {self.name}"):
            tfidf.train(
                ring.train,
                ring.labels,
                directory,
                max_features=self.config.max_features,
                regularisation=self.config.regularisation,
                language=ring.language,
                seed=ring.seed,
                chances=np.array([answer.scores for answer in answers], dtype=float),
            )
        size = (directory / tfidf.WEIGHTS).stat().st_size
        return {"bytes": size, "digest": (directory / tfidf.DIGEST).read_text(encoding="ascii")}

    @override
    def open(self) -> Backend:
        from governance.backends.sklearn import SklearnBackend
        from governance.training.tfidf import WEIGHTS

        return SklearnBackend(self.directory / WEIGHTS, self.ring.labels)

    @property
    @override
    def _about_privacy(self) -> str | None:
        return _UNCOVERED.format(of=self.base.name) if self.base.claim else None
